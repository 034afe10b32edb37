// Markdown as a tree of plain objects, and that tree as DOM nodes. Text only ever becomes text
// nodes, so nothing that an agent or a file says can become markup.

/** Blocks of a Markdown text: {tag, children, className?}; text is a string. */
export function parse(source) {
  const lines = source.replace(/\r\n?/g, "\n").split("\n");
  const blocks = [];
  for (let i = 0; i < lines.length; ) {
    const line = lines[i];
    if (!line.trim()) { i++; continue; }
    let match;
    if (line.startsWith("```")) {
      let end = i + 1;
      while (end < lines.length && !lines[end].startsWith("```")) end++;
      const code = lines.slice(i + 1, end).join("\n");
      blocks.push({ tag: "pre", children: [{ tag: "code", children: [code] }] });
      i = end + 1;
    } else if ((match = /^(#{1,4})\s+(.*)$/.exec(line))) {
      blocks.push({ tag: `h${match[1].length + 1}`, children: inline(match[2]) });
      i++;
    } else if (isRow(line) && /^[\s|:-]*-[\s|:-]*$/.test(lines[i + 1] ?? "")) {
      let end = i + 2;
      while (end < lines.length && isRow(lines[end])) end++;
      blocks.push(table(lines.slice(i, end)));
      i = end;
    } else if ((match = /^\s*([-*]|\d+[.)])\s+/.exec(line))) {
      const pattern = /\d/.test(match[1]) ? /^\s*\d+[.)]\s+/ : /^\s*[-*]\s+/;
      const items = [];
      while (i < lines.length && pattern.test(lines[i])) {
        items.push({ tag: "li", children: inline(lines[i].replace(pattern, "")) });
        i++;
      }
      blocks.push({ tag: /\d/.test(match[1]) ? "ol" : "ul", children: items });
    } else {
      const start = i;
      do i++; while (i < lines.length && lines[i].trim() && !startsBlock(lines[i]));
      blocks.push({ tag: "p", children: inline(lines.slice(start, i).join(" ")) });
    }
  }
  return blocks;
}

/** Put a Markdown text into an element. */
export function show(element, source) {
  element.replaceChildren(...parse(source).map(toNode));
}

function toNode(item) {
  if (typeof item === "string") return document.createTextNode(item);
  const node = document.createElement(item.tag);
  if (item.className) node.className = item.className;
  node.append(...item.children.map(toNode));
  return node;
}

const isRow = (line) => /^\s*\|/.test(line);
const startsBlock = (line) => isRow(line) || /^(```|#{1,4}\s|\s*[-*]\s|\s*\d+[.)]\s)/.test(line);

function table([head, rule, ...body]) {
  const right = cells(rule).map((cell) => cell.endsWith(":"));
  const row = (line, tag) => ({
    tag: "tr",
    children: cells(line).map((cell, i) => ({
      tag, children: inline(cell), className: right[i] ? "right" : "",
    })),
  });
  const rows = body.map((line) => row(line, "td"));
  const parts = [{ tag: "thead", children: [row(head, "th")] }, { tag: "tbody", children: rows }];
  return { tag: "div", className: "scroll", children: [{ tag: "table", children: parts }] };
}

function cells(line) {
  const found = [""];
  const inner = line.trim().replace(/^\|/, "").replace(/([^\\])\|$/, "$1");
  for (const part of inner.match(/\\.|[^\\|]+|\||\\/gs) ?? []) {
    if (part === "|") found.push("");
    else found[found.length - 1] += part;
  }
  return found.map((cell) => cell.trim());
}

const INLINE = /\\([\\`*_|<>[\]~])|`([^`]+)`|\*\*((?:\\.|[^*\\])+)\*\*|\*((?:\\.|[^*\\])+)\*/s;

function inline(source) {
  const children = [];
  const add = (text) => {
    if (typeof children.at(-1) === "string") children[children.length - 1] += text;
    else if (text) children.push(text);
  };
  let rest = source;
  for (let match; (match = INLINE.exec(rest)); rest = rest.slice(match.index + match[0].length)) {
    add(rest.slice(0, match.index));
    if (match[1] !== undefined) add(match[1]);
    else if (match[2] !== undefined) children.push({ tag: "code", children: [match[2]] });
    else if (match[3] !== undefined) children.push({ tag: "strong", children: inline(match[3]) });
    else children.push({ tag: "em", children: inline(match[4]) });
  }
  add(rest);
  return children;
}
