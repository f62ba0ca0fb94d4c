// Parses every Apex source with the grammar of the apex-dev-tools and every metadata file as XML, and looks for files
// that belong together. What only the platform knows (types, permissions that depend on others) it cannot say.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { ApexErrorListener, ApexParserFactory } from "@apexdevtools/apex-parser";
import { XMLValidator } from "fast-xml-parser";

const root = dirname(fileURLToPath(import.meta.url));
const files = readdirSync(join(root, "force-app"), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath ?? entry.path, entry.name));

class Problems extends ApexErrorListener {
  found = [];
  apexSyntaxError(line, column, message) {
    this.found.push(`line ${line}:${column}: ${message}`);
  }
}

function problemsOfApex(text, isTrigger) {
  const problems = new Problems();
  const { parser } = ApexParserFactory.createLexerAndParser(text, problems);
  isTrigger ? parser.triggerUnit() : parser.compilationUnit();
  return problems.found;
}

function problemsOf(file) {
  const text = readFileSync(file, "utf8");
  if (file.endsWith(".xml")) {
    const valid = XMLValidator.validate(text);
    return valid === true ? [] : [valid.err.msg];
  }
  const problems = existsSync(`${file}-meta.xml`) ? [] : ["has no -meta.xml beside it"];
  return problems.concat(problemsOfApex(text, file.endsWith(".trigger")));
}

// A check that cannot fail guards nothing.
if (problemsOfApex("public class Broken { void f() { Integer x = ; } }", false).length === 0) {
  throw new Error("the parser finds nothing wrong with a broken class");
}

const apex = files.filter((file) => /\.(cls|trigger)$/.test(file));
const wrong = files.flatMap((file) => problemsOf(file).map((problem) => `${relative(root, file)}: ${problem}`));
if (apex.length === 0) wrong.push("no Apex was found");
wrong.forEach((line) => console.error(line));
console.log(`${apex.length} Apex sources and ${files.length - apex.length} metadata files, ${wrong.length} problems`);
process.exitCode = wrong.length === 0 ? 0 : 1;
