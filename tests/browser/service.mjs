// The demo as a process of its own, and a browser on it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const modules = process.env.BROWSER_MODULES;
if (!modules) throw new Error("BROWSER_MODULES is not set; scripts/test-browser does that");
const require = createRequire(pathToFileURL(join(modules, "package.json")));
const { chromium } = require("playwright-core");
export const axe = require("axe-core").source;

// What a line of the demo begins with, and what it is.
const TOLD = { service: "url", "API key": "key", "emulators, to act": "control" };

// The demo, once it says where to look.
export async function demo() {
  const binary = process.env.CAMPAIGN_SYNC ?? "target/debug/campaign-sync";
  const child = spawn(binary, ["demo", "--listen", "127.0.0.1:0", "--people", "60"], { stdio: ["ignore", "pipe", "pipe"] });
  const told = {};
  let errors = "";
  child.stderr.on("data", (text) => (errors += text));
  const ready = new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      for (const [label, name] of Object.entries(TOLD)) {
        if (line.startsWith(label + " ")) told[name] = line.slice(label.length).trim();
      }
      if (told.url && told.key && told.control) resolve();
    });
    child.on("exit", (code) => reject(new Error(`the demo ended with ${code}: ${errors}`)));
    setTimeout(() => reject(new Error(`the demo does not begin: ${errors}`)), 60_000).unref();
  });
  // A demo that was not understood would keep the tests from ending.
  await ready.catch((error) => {
    child.kill();
    throw error;
  });
  return {
    ...told,
    // A request of the API; the body of its answer.
    async api(method, path, body) {
      const headers = { authorization: `Bearer ${told.key}`, "content-type": "application/json" };
      const answer = await fetch(`${told.url}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${text}`);
      return text ? JSON.parse(text) : null;
    },
    // What somebody does at a vendor, by the emulators' control.
    async act(method, path, body) {
      const headers = { "content-type": "application/json" };
      const answer = await fetch(`${told.control}${path}`, { method, headers, body: body && JSON.stringify(body) });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${text}`);
      return text ? JSON.parse(text) : null;
    },
    async stop() {
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}

export function browser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
    ],
  });
}

// Waits until `look` gives something.
export async function eventually(what, look, millis = 20_000) {
  const end = Date.now() + millis;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`does not come: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
}
