// The demo as a process of its own, and a browser on it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
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
  const child = spawn(binary(), ["demo", "--listen", "127.0.0.1:0", "--people", "60"], { stdio: ["ignore", "pipe", "pipe"] });
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

// Absolute: a service may be started in a folder of its own.
const binary = () => resolve(process.env.CAMPAIGN_SYNC ?? "target/debug/campaign-sync");

// The first line that a command prints, as JSON.
async function announced(child, what) {
  let errors = "";
  child.stderr.on("data", (text) => (errors += text));
  return new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", (line) => resolve(JSON.parse(line)));
    child.on("exit", (code) => reject(new Error(`${what} ended with ${code}: ${errors}`)));
    setTimeout(() => reject(new Error(`${what} does not begin: ${errors}`)), 60_000).unref();
  });
}

// A service of which nobody has made use yet, beside vendors that can be taken away.
export async function unused() {
  const folder = mkdtempSync(join(tmpdir(), "campaign-sync-browser-"));
  const ports = ["marketo", "salesforce", "control"].flatMap((name) => [`--${name}-listen`, "127.0.0.1:0"]);
  const vendors = spawn(binary(), ["emulate", ...ports], { stdio: ["ignore", "pipe", "pipe"] });
  let service;
  const stop = async () => {
    for (const child of [service, vendors].filter((one) => one && one.exitCode === null && one.signalCode === null)) {
      child.kill("SIGTERM");
      await once(child, "exit");
    }
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const told = await announced(vendors, "emulate");
    const key = "a key of the browser's tests";
    const set = {
      MARKETO__BASE_URL: told.marketo, MARKETO__CLIENT_ID: told.marketo_client_id, MARKETO__CLIENT_SECRET: told.marketo_client_secret,
      SALESFORCE__LOGIN_URL: told.salesforce, SALESFORCE__CLIENT_ID: told.salesforce_client_id,
      SALESFORCE__CLIENT_SECRET: told.salesforce_client_secret, AUTH__BOOTSTRAP_KEY: key, SERVER__LISTEN: "127.0.0.1:0",
      DATABASE__URL: `sqlite://${join(folder, "campaign-sync.db")}`,
    };
    const env = { ...process.env, ...Object.fromEntries(Object.entries(set).map(([name, value]) => [`CAMPAIGN_SYNC__${name}`, value])) };
    service = spawn(binary(), ["serve"], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
    const { url } = await announced(service, "serve");
    const vendorsGo = async () => { vendors.kill("SIGTERM"); await once(vendors, "exit"); };
    return { url, key, vendorsGo, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

// A receiver of deliveries, which answers as it is told.
export async function receiver() {
  const got = [];
  const self = { got, status: 200 };
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (text) => (body += text));
    request.on("end", () => {
      got.push({ headers: request.headers, body: JSON.parse(body) });
      response.writeHead(self.status).end(self.status === 200 ? "thanks" : "not now");
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  self.url = `http://127.0.0.1:${server.address().port}/hook`;
  self.close = () => server.close();
  return self;
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
