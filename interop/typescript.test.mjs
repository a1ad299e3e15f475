// The page of the example `typed`, for TypeScript's compiler: it compiles with the declarations of the server's events, and
// with those of a server whose field has another name it does not. That `events.ts` is what the program writes is held by
// runtime-tokio/tests/applications.rs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import ts from "typescript";

const folder = new URL("../examples/typed/", import.meta.url).pathname;
const page = `${folder}page.ts`;
const options = {
  strict: true,
  noEmit: true,
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  lib: ["lib.es2022.d.ts", "lib.dom.d.ts"],
  types: [],
  skipLibCheck: true,
  // The page is not below this folder's `node_modules`.
  paths: { "socket.io-client": [new URL("node_modules/socket.io-client", import.meta.url).pathname] },
};
// Read once for all tests.
const kept = new Map();

/** What the compiler says to the page, with `change` made to the declarations. */
function complaints(change) {
  const host = ts.createCompilerHost(options);
  const { getSourceFile } = host;
  host.getSourceFile = (name, ...rest) => {
    if (name === `${folder}events.ts`) {
      return ts.createSourceFile(name, change(readFileSync(name, "utf8")), ts.ScriptTarget.ES2022);
    }
    if (!kept.has(name)) kept.set(name, getSourceFile(name, ...rest));
    return kept.get(name);
  };
  const program = ts.createProgram([page], options, host);
  return ts
    .getPreEmitDiagnostics(program)
    .map(({ file, messageText }) => `${file?.fileName.slice(folder.length)}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`);
}

test("the page compiles with the declarations of the server", () => {
  assert.deepEqual(complaints((text) => text), []);
});

for (const [what, from, to, said] of [
  ["a field", "roomName: string", "room: string", /roomName/],
  ["the type of a field", "text: string", "text: number", /'string' is not assignable to type 'number'/],
  ["an event of a client", '"say"', '"speak"', /"say"/],
  ["an event of the server", '"said"', '"spoken"', /"said"/],
  ["an answer", "answer: number", "answer: string", /'string' is not assignable to type 'number'/],
]) {
  test(`the page does not compile once ${what} has changed`, () => {
    const complained = complaints((text) => {
      assert.ok(text.includes(from));
      return text.replace(from, to);
    });
    assert.ok(complained.some((line) => line.startsWith("page.ts: ") && said.test(line)), complained.join("\n") || "it compiles");
  });
}
