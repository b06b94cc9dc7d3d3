// Reads one query a line (JSON) and prints what the grammar made of each: validity and literals.

import { createInterface } from "node:readline";

import { isQueryValid, parseQuery } from "@jetstreamapp/soql-parser-js";

const literals = (node) =>
  !node
    ? []
    : [
        ...(node.left?.literalType ? [node.left.value].flat() : []),
        ...(node.left && !node.left.literalType ? literals(node.left) : []),
        ...literals(node.right),
      ];

for await (const line of createInterface({ input: process.stdin })) {
  const soql = JSON.parse(line);
  const valid = isQueryValid(soql);
  const told = valid ? literals(parseQuery(soql).where) : [];
  console.log(JSON.stringify({ valid, literals: told }));
}
