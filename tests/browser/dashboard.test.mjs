// The dashboard as people use it: a real browser, the demo as a process of its own. Each test stands on what those before it left.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";

import { axe, browser, demo, eventually, receiver, unused } from "./service.mjs";

const WIDE = { width: 1280, height: 860 };
const NARROW = { width: 390, height: 844 };
// With PICTURES set, pictures of pages are written there.
const pictures = process.env.PICTURES;

let service, chromium, context, page, mapping, roadshow;

before(async () => {
  [service, chromium] = await Promise.all([demo(), browser()]);
  ({ context, page } = await visit());
  mapping = (await service.api("GET", "/mappings")).data[0].id;
  roadshow = await world();
  await eventually("the first sync", async () => {
    const runs = (await service.api("GET", `/mappings/${mapping}/runs`)).data;
    return runs.every((run) => run.state !== "running");
  }, 60_000);
});

after(async () => {
  await chromium?.close();
  await service?.stop();
});

// A program and a campaign that nobody has mapped, with other statuses on either side.
async function world() {
  await service.act("POST", "/marketo/channels", {
    name: "Roadshow", applicable_program_type: "event",
    statuses: [{ name: "Invited", step: 10 }, { name: "Signed up", step: 20 }, { name: "Attended", step: 30, success: true }],
  });
  const program = (await service.act("POST", "/marketo/programs", { name: "Spring Roadshow", channel: "Roadshow", kind: "Event" })).id;
  const { ids } = await service.act("POST", "/marketo/people", [1, 2, 3, 4, 5, 6].map((n) => ({ firstName: "Rita", lastName: `Road ${n}`, email: `road${n}@roadshow.example`, company: "Road" })));
  await service.act("POST", `/marketo/programs/${program}/members`, { lead_ids: ids, status: "Signed up" });
  const campaign = (await service.act("POST", "/salesforce/records/Campaign", { Name: "Spring Roadshow", IsActive: true })).id;
  // There from the beginning, since the listing of the programs is kept for a while.
  const winter = (await service.act("POST", "/marketo/programs", { name: "Winter Roadshow", channel: "Roadshow", kind: "Event" })).id;
  await service.act("POST", `/marketo/programs/${winter}/members`, { lead_ids: ids.slice(0, 3), status: "Invited" });
  return { program, ids, campaign };
}

// A browser of its own; whatever a page complains of fails the test that is running.
async function visit(options = {}) {
  const context = await chromium.newContext({ viewport: WIDE, colorScheme: "light", ...options });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  page.complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().includes("status of 4")) page.complaints.push(message.text());
  });
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  return { context, page };
}

async function logIn(page, key = service.key, next = "/") {
  await page.goto(`${service.url}/login?next=${encodeURIComponent(next)}`);
  await page.getByLabel("API key").fill(key);
  await page.getByRole("button", { name: "Log in" }).click();
}

async function open(path) {
  await page.goto(service.url + path);
  return page;
}

async function picture(name, target = page) {
  if (!pictures) return;
  mkdirSync(pictures, { recursive: true });
  await target.screenshot({ path: `${pictures}/${name}.png`, fullPage: Boolean(process.env.WHOLE) });
}

// Every page that there is, of what there is to be seen.
async function everyPage() {
  const member = (await service.api("GET", `/mappings/${mapping}/members?limit=1`)).data[0].id;
  const [change] = (await service.api("GET", "/changes?limit=1")).data;
  const [subscription] = (await service.api("GET", "/subscriptions")).data;
  const plan = (await service.api("POST", `/mappings/${mapping}/plan`)).id;
  return [
    "/", "/mappings", "/mappings?q=nobody", `/mappings/${mapping}`, `/mappings/${mapping}/members`, `/mappings/${mapping}/members?q=nobody`,
    `/mappings/${mapping}/edit`, `/mappings/${mapping}/remove`, `/members/${member}`, `/plans/${plan}`, "/changes",
    ...(change ? [`/changes/${change.id}`] : []), "/changes/bulk?action=retry&state=parked", "/approvals", "/subscriptions",
    `/subscriptions/${subscription.id}`, "/vendors", "/checklist", "/audit", "/settings", "/mappings/new",
    `/mappings/new?program=${roadshow.program}`, `/mappings/new?program=${roadshow.program}&campaign=${roadshow.campaign}`,
    `/mappings/new?program=${roadshow.program}&create=1`, "/mappings/11111111-1111-7111-8111-111111111111/members", "/nowhere",
  ];
}

const LOOKS = [["light", "wide", WIDE], ["dark", "wide", WIDE], ["light", "narrow", NARROW], ["dark", "narrow", NARROW]];
// In the dark nothing but colours is another one.
const COLOURS = ["color-contrast", "link-in-text-block"];

// Looks at pages in light and dark, wide and narrow; each is asked for once, since some of them ask the vendors.
async function allSound(target, url, paths, prefix = "") {
  for (const path of paths) {
    await target.emulateMedia({ colorScheme: "light" });
    await target.setViewportSize(WIDE);
    await target.goto(url + path);
    if (path !== "/nowhere" && path !== "/login") await target.waitForFunction(() => window.htmx);
    const named = path === "/" ? "overview" : path.slice(1).replace(/11111111-.*/, "missing").replace(/[0-9a-f]{8}-[0-9a-f-]+/g, "one").replace(/[^a-z]+/gi, "-");
    for (const [scheme, width, size] of LOOKS) {
      await target.emulateMedia({ colorScheme: scheme });
      await target.setViewportSize(size);
      await sound(target, `${path} ${scheme} ${width}`, scheme === "dark" ? COLOURS : undefined);
      await picture(`${prefix}${named}-${scheme}-${width}`, target);
    }
  }
}

// Nothing that axe-core finds, and nothing that sticks out of the window.
async function sound(target, name, rules) {
  await target.addScriptTag({ content: "" }).catch(() => {});
  const found = await target.evaluate(async ({ source, rules }) => {
    if (!window.axe) (0, eval)(source);
    const options = { resultTypes: ["violations"], preload: false, ...(rules && { runOnly: { type: "rule", values: rules } }) };
    return (await window.axe.run(document, options)).violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target.join(" ") + " " + (node.any[0]?.message ?? "")).join("; ")}`);
  }, { source: axe, rules });
  assert.deepEqual(found, [], name);
  const overhang = await target.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(overhang <= 0, `${name} is ${overhang} pixels too wide`);
}

test("who is not logged in is asked for a key, and led back to where they wanted to go", async () => {
  await open("/changes?state=parked");
  assert.equal(new URL(page.url()).pathname, "/login");
  await page.getByLabel("API key").fill("cs_" + "x".repeat(40));
  await page.getByRole("button", { name: "Log in" }).click();
  assert.match(await page.getByRole("alert").textContent(), /not known/);
  await page.getByLabel("API key").fill(service.key);
  await page.getByRole("button", { name: "Log in" }).click();
  assert.equal(new URL(page.url()).pathname + new URL(page.url()).search, "/changes?state=parked");
  const cookies = await context.cookies();
  const session = cookies.find((cookie) => cookie.name === "campaign_sync_session");
  assert.ok(session.httpOnly && session.sameSite === "Strict");
  assert.ok(!session.value.includes(service.key) && !Buffer.from(session.value, "base64url").includes(service.key));
});

test("a receiver is subscribed, tested, fails, and is tried again", async () => {
  const hook = await receiver();
  await open("/subscriptions");
  await page.getByLabel("Address", { exact: true }).fill(hook.url);
  // Something that does not happen meanwhile.
  await page.getByLabel("A mapping has stopped").check();
  await page.getByRole("button", { name: "Subscribe" }).click();
  assert.match(await page.locator("#flash").textContent(), /shown this once: whsec_/);
  await page.getByRole("link", { name: hook.url }).click();
  assert.ok(!(await page.content()).includes("whsec_"), "the secret is shown again");
  await page.getByText("A mapping has stopped").waitFor();
  hook.status = 500;
  await page.getByRole("button", { name: "Send a test" }).click();
  await page.locator("#flash.good").waitFor();
  await eventually("a failure on the open page", async () => /500 after/.test(await page.locator("main").textContent()), 30_000);
  hook.status = 200;
  await page.getByRole("button", { name: /^Retry the delivery/ }).first().click();
  await page.locator("#flash.good").waitFor();
  await eventually("the delivery on the open page", async () => /Delivered\s*1 of 1/.test(await page.locator("main").textContent()), 30_000);
  assert.ok(hook.got.length >= 2 && hook.got.every((one) => one.headers["webhook-id"] === hook.got[0].headers["webhook-id"]));
  await page.locator("main details summary").first().click();
  await page.getByText("thanks").waitFor();
  await picture("subscription");
  await page.locator("#state").selectOption("failed");
  await page.getByText("No delivery is in that state").waitFor();
  hook.close();
});

test("every page is sound, wide and narrow, light and dark", async () => {
  const paths = await everyPage();
  const storageState = await context.storageState();
  // Each half by a browser of its own, at the same time.
  const half = async (paths, options) => {
    const one = await visit({ bypassCSP: true, reducedMotion: "reduce", ...options });
    await allSound(one.page, service.url, paths);
    assert.deepEqual(one.page.complaints, []);
    await one.context.close();
  };
  const even = (which) => paths.filter((_, n) => n % 2 === which);
  await Promise.all([half(even(0), { storageState }), half(even(1), { storageState }).then(() => half(["/login"]))]);
});

test("a page says what it may do", async () => {
  const answer = await page.request.get(service.url + "/");
  const policy = answer.headers()["content-security-policy"];
  assert.match(policy, /default-src 'none'/);
  assert.ok(!policy.includes("unsafe"));
  assert.equal(answer.headers()["cache-control"], "no-store");
  assert.ok(!/<script(?![^>]*src=)|style="|\son[a-z]+="/.test(await answer.text()), "something is inline");
});

test("every page is small when nothing of it is known yet", async (t) => {
  const state = await context.storageState();
  let largest = [0, ""];
  for (const path of await everyPage()) {
    // A browser that has been nowhere: styles and scripts count for each page.
    const fresh = await visit({ storageState: state });
    const session = await fresh.context.newCDPSession(fresh.page);
    await session.send("Network.enable");
    let bytes = 0;
    session.on("Network.loadingFinished", (event) => (bytes += event.encodedDataLength));
    await fresh.page.goto(service.url + path, { waitUntil: "load" });
    const least = path === "/nowhere" ? 1_000 : 20_000;
    await eventually(`the files of ${path}`, async () => bytes > least);
    assert.ok(bytes < 150_000, `${path} has ${bytes} bytes`);
    if (bytes > largest[0]) largest = [bytes, path];
    await fresh.context.close();
  }
  t.diagnostic(`the largest is ${largest[1]} with ${Math.round(largest[0] / 1000)} KB`);
});

test("the overview shows what the API says, and charts or tables of it", async () => {
  await open("/");
  const tiles = await page.locator("#tiles .tile").allTextContents();
  assert.ok(tiles.some((tile) => tile.includes("Members in agreement")), tiles.join());
  const stats = await service.api("GET", "/stats");
  assert.ok(tiles.find((tile) => tile.includes("Mappings live")).includes(String(stats.mappings.active)));
  const today = await page.locator("#tiles .tile").filter({ hasText: "Applied today" }).locator(".value").textContent();
  const figure = Number(today.replaceAll(",", ""));
  assert.ok(figure > 0 && figure <= stats.today.applied, `${today} on the page, and ${stats.today.applied} of the API`);
  // A chart is drawn, or says that there is nothing to draw.
  const charts = await page.locator("figure.chart").all();
  assert.ok(charts.length >= 6, `${charts.length} charts`);
  for (const chart of charts) assert.equal((await chart.locator("canvas").count()) + (await chart.getByText("Nothing in the last hour").count()), 1);
  assert.ok((await page.locator("figure.chart canvas").count()) > 0, "nothing is drawn at all");
  // Relative, with the exact time on hover, also as it is here.
  const time = page.locator("main time").first();
  assert.match(await time.textContent(), /ago|now/);
  assert.match(await time.getAttribute("title"), /20\d\d, \d\d:\d\d:\d\d UTC\n.+ here/);
});

test("a page follows what happens", async () => {
  await open("/");
  await page.locator('#live[data-state="on"]').waitFor();
  const received = async () => Number((await page.locator("tfoot td").first().textContent()).replaceAll(",", ""));
  const first = await received();
  await eventually("a newer figure on the open page", async () => (await received()) > first, 30_000);
  assert.ok(Number(await page.locator("html").getAttribute("data-read")) > 0);
});

test("the theme is chosen, kept, and used without JavaScript too", async () => {
  await open("/mappings");
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.getByRole("button", { name: "Dark" }).click();
  await page.locator('html[data-theme="dark"]').waitFor();
  const dark = await ground();
  assert.notEqual(light, dark);
  await page.reload();
  assert.equal(await ground(), dark);
  await page.getByRole("button", { name: "Light" }).click();
  await page.locator('html[data-theme="light"]').waitFor();
  assert.equal(await ground(), light);
  await page.getByRole("button", { name: "Auto" }).click();
  await page.locator('html[data-theme="auto"]').waitFor();
});

test("a program is mapped step by step, with statuses that differ", async (t) => {
  const { program, ids, campaign } = roadshow;
  await page.addInitScript(() => addEventListener("click", (event) => {
    // Also a press of the keyboard on a button, and the label of a field once.
    if (event.isTrusted && event.target.matches("a, a *, button, input")) sessionStorage.clicks = Number(sessionStorage.clicks ?? 0) + 1;
  }, true));
  await open("/mappings");
  await page.evaluate(() => sessionStorage.removeItem("clicks"));
  const started = Date.now();
  await page.getByRole("link", { name: "New mapping" }).click();
  if (await page.getByLabel("Search by name or id").count()) {
    await page.getByLabel("Search by name or id").fill("spring");
    await page.locator("#found").getByRole("link", { name: /Spring Roadshow/ }).click();
    await page.locator("#found").getByRole("link", { name: /Spring Roadshow/ }).click();
  } else {
    await page.getByLabel("Program id").fill(String(program));
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByLabel("Campaign id").fill(campaign);
    await page.getByRole("button", { name: "Continue" }).click();
  }
  await page.getByRole("heading", { name: "Statuses side by side" }).waitFor();
  await picture("wizard");
  await page.getByLabel("Invited becomes in the campaign").selectOption("Sent");
  await page.getByLabel("Signed up becomes in the campaign").selectOption("Sent");
  await page.getByLabel("Attended becomes in the campaign").selectOption("Responded");
  await page.getByLabel("Salesforce wins Salesforce's status").check();
  if (await page.getByRole("button", { name: "See what would happen" }).count()) {
    await page.getByRole("button", { name: "See what would happen" }).click();
    await page.locator("#plan").waitFor();
    assert.equal(await page.getByLabel("Signed up becomes in the campaign").inputValue(), "Sent");
    // Counts, cost and rows, before anything is written.
    const plan = await page.locator("#plan").textContent();
    assert.match(plan, /Add to Salesforce\s*6/);
    assert.match(plan, /Calls\s*\d+ \+ \d+/);
    assert.equal(await page.locator("#plan tbody tr").count(), ids.length);
    await page.locator("#plan").getByText("road1@roadshow.example").waitFor();
    await picture("plan");
  }
  await page.getByRole("button", { name: "Map and start the first sync" }).click();
  await page.getByRole("heading", { name: "Do both sides agree?" }).waitFor();
  // Program, campaign, a policy, the plan and the start; and three statuses to look at.
  const [seconds, clicks] = [(Date.now() - started) / 1000, Number(await page.evaluate(() => sessionStorage.clicks))];
  t.diagnostic(`${clicks} clicks, ${seconds.toFixed(1)} s of a machine`);
  assert.ok(clicks <= 8, `${clicks} clicks`);
  assert.ok(seconds < 120);
  const id = new URL(page.url()).pathname.split("/").pop();
  const made = await service.api("GET", `/mappings/${id}`);
  assert.equal(made.policies.conflict, "salesforce_wins");
  assert.deepEqual(made.status_map.map((row) => [row.program_status, row.campaign_status, row.direction]), [
    ["Invited", "Sent", "both"], ["Signed up", "Sent", "to_salesforce"], ["Attended", "Responded", "both"],
  ]);
  await eventually("everybody on both sides, on the open page", async () => /In sync\s*6/.test(await page.locator(".sides").textContent()), 40_000);
  roadshow.id = id;
});

// Presses Tab until this has the focus, as somebody does who has no mouse.
async function tabTo(target, what) {
  for (let n = 0; n < 120; n++) {
    await page.keyboard.press("Tab");
    if (await target.evaluate((one) => one === document.activeElement)) {
      const ring = await target.evaluate((one) => getComputedStyle(one).outlineStyle);
      assert.notEqual(ring, "none", `${what} does not show that it has the focus`);
      return;
    }
  }
  throw new Error(`Tab does not lead to ${what}`);
}

test("with the keyboard alone a campaign is made for a program, and mapped", async () => {
  await open("/mappings");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  await tabTo(page.getByRole("link", { name: "New mapping" }), "New mapping");
  await page.keyboard.press("Enter");
  await page.getByLabel("Search by name or id").waitFor();
  await page.waitForFunction(() => window.htmx);
  await tabTo(page.getByLabel("Search by name or id"), "the search");
  await page.keyboard.type("winter");
  const found = page.locator("#found").getByRole("link", { name: /Winter Roadshow/ });
  await found.waitFor();
  await tabTo(found, "the program");
  await page.keyboard.press("Enter");
  const make = page.getByRole("link", { name: "Make a campaign for this program" });
  await make.waitFor();
  await tabTo(make, "making a campaign");
  await page.keyboard.press("Enter");
  const name = page.getByLabel("Name", { exact: true });
  await name.waitFor();
  assert.equal(await name.inputValue(), "Winter Roadshow");
  await tabTo(name, "the name");
  await page.keyboard.press("End");
  await page.keyboard.type(" 2027");
  const both = page.getByLabel("Furthest progress");
  await tabTo(both, "a policy");
  await page.keyboard.press("ArrowDown");
  assert.ok(await page.getByLabel("Marketo wins Marketo's status").isChecked());
  const see = page.getByRole("button", { name: "See what would happen" });
  await tabTo(see, "the plan");
  await page.keyboard.press("Enter");
  await page.locator("#plan").waitFor();
  assert.match(await page.locator("#plan").textContent(), /Add to Salesforce\s*3/);
  assert.equal((await service.api("GET", "/campaigns?q=Winter")).data.length, 0, "nothing is made before it is asked for");
  assert.equal(await name.inputValue(), "Winter Roadshow 2027");
  const start = page.getByRole("button", { name: "Map and start the first sync" });
  await tabTo(start, "the start");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Do both sides agree?" }).waitFor();
  const made = await service.api("GET", `/mappings/${new URL(page.url()).pathname.split("/").pop()}`);
  assert.deepEqual([made.campaign_name, made.policies.conflict], ["Winter Roadshow 2027", "marketo_wins"]);
  await eventually("all three on both sides, on the open page", async () => /In sync\s*3/.test(await page.locator(".sides").textContent()), 40_000);
});

test("removals that wait are approved", async () => {
  for (const id of roadshow.ids.slice(0, 4)) await service.act("DELETE", `/marketo/programs/${roadshow.program}/members/${id}`);
  await open(`/mappings/${roadshow.id}`);
  await page.getByRole("button", { name: "Compare and mend" }).click();
  await page.getByText("Comparing both sides").waitFor();
  const ours = async () => (await service.api("GET", "/guards")).data.find((guard) => guard.mapping_id === roadshow.id);
  const { id: guard } = await eventually("the guard", ours, 30_000);
  await eventually("all four on it", async () => (await ours()).count === 4, 20_000);
  await open("/approvals");
  const card = page.locator("section.warn-edge").filter({ has: page.locator(`form[action="/approvals/${guard}"]`) });
  await card.getByRole("heading", { name: "4 removals wait for a decision" }).waitFor();
  await card.getByText("Who it is about").click();
  assert.equal(await card.locator("tbody tr").count(), 4);
  await picture("approvals");
  await card.getByRole("button", { name: "Approve 4 removals" }).click();
  await page.locator("#flash").waitFor();
  await eventually("the removals", async () => {
    const { bridge } = await service.api("GET", `/mappings/${roadshow.id}`);
    return bridge.salesforce_members === 2 && bridge.in_sync === 2;
  }, 30_000);
});

test("a change that failed is retried, alone and all at once after a count", async () => {
  await service.act("PATCH", "/salesforce/options", { read_only_objects: ["CampaignMember"] });
  // Others are parked since two people share an address, which no attempt mends.
  const held = async () => (await service.api("GET", "/changes?state=parked")).data.filter((one) => one.reason === "vendor_rejected");
  await eventually("changes that fail", async () => (await held()).length > 1, 30_000);
  await service.act("PATCH", "/salesforce/options", { read_only_objects: [] });
  const [one] = await held();
  await open(`/changes/${one.id}`);
  await page.getByRole("heading", { name: "What is known" }).waitFor();
  await page.getByRole("button", { name: "Retry now" }).click();
  await page.locator("#flash").waitFor();
  await eventually("the change", async () => ["completed"].includes((await service.api("GET", `/changes/${one.id}`)).state), 30_000);
  await open("/changes?state=parked");
  await page.getByRole("button", { name: "Retry…" }).click();
  await page.getByRole("heading", { name: /Retry \d+ changes?\?/ }).waitFor();
  await page.getByRole("button", { name: /^Retry \d+$/ }).click();
  await page.locator("#flash.good").waitFor();
  await eventually("nothing held", async () => (await held()).length === 0, 30_000);
});

test("a member explains itself, and a diverged one is resolved", async () => {
  await service.api("PATCH", `/mappings/${roadshow.id}`, { policies: { conflict: "hold", regression: "hold" } });
  const members = (await service.api("GET", `/mappings/${roadshow.id}/members`)).data.filter((one) => one.marketo_status);
  const member = members[0];
  await service.act("POST", `/marketo/programs/${roadshow.program}/members`, { lead_ids: [member.person.marketo_id], status: "Attended" });
  await service.api("POST", `/mappings/${roadshow.id}/reconcile`, {});
  const now = async () => service.api("GET", `/members/${member.id}`);
  await eventually("Attended on both sides", async () => (await now()).salesforce_status === "Responded", 30_000);
  await service.act("PATCH", `/salesforce/record/${(await now()).campaign_member_id}`, { Status: "Sent" });
  await eventually("the two to differ", async () => {
    await service.api("POST", `/mappings/${roadshow.id}/reconcile`, {});
    return eventually("diverged", async () => (await now()).sync_state === "diverged", 6_000).catch(() => false);
  }, 30_000);
  await open("/approvals");
  const row = page.locator('section[aria-labelledby="conflicts"] tbody tr').filter({ has: page.locator(`a[href="/members/${member.id}"]`) });
  assert.equal(await row.locator(`a[href="/mappings/${roadshow.id}"]`).count(), 1, "whose member it is");
  await row.locator(`a[href="/members/${member.id}"]`).click();
  await page.getByRole("heading", { name: "Why it is as it is" }).waitFor();
  assert.ok((await page.locator(".timeline li").count()) > 0);
  await picture("member");
  const right = page.getByRole("button", { name: "Marketo: Attended" });
  await right.click();
  await page.locator("#flash").waitFor();
  await eventually("both the same", async () => (await now()).sync_state === "in_sync" && (await now()).salesforce_status === "Responded", 30_000);
});

test("who saves a mapping that somebody else has changed meanwhile is told, and overwrites nothing unknowingly", async () => {
  const policies = async () => (await service.api("GET", `/mappings/${roadshow.id}`)).policies;
  await open(`/mappings/${roadshow.id}/edit`);
  await service.api("PATCH", `/mappings/${roadshow.id}`, { policies: { removal: "keep" } });
  await page.getByLabel("Marketo wins").check();
  await page.getByRole("button", { name: "Save and decide everybody anew" }).click();
  await page.getByRole("alert").getByText("Precondition failed").waitFor();
  assert.deepEqual([(await policies()).conflict, (await policies()).removal], ["hold", "keep"]);
  // What was entered is still there; to save it now is to have been told.
  assert.ok(await page.getByLabel("Marketo wins").isChecked());
  await page.getByRole("button", { name: "Save and decide everybody anew" }).click();
  await page.locator("#flash.good").waitFor();
  assert.deepEqual([(await policies()).conflict, (await policies()).removal], ["marketo_wins", "propagate"]);
});

test("without JavaScript everything can be read and done", async () => {
  const plain = await visit({ javaScriptEnabled: false });
  await logIn(plain.page, service.key, "/mappings");
  await plain.page.getByLabel("Name").fill("spring road");
  await plain.page.getByRole("button", { name: "Apply" }).click();
  await eventually("the one that was asked for", async () => (await plain.page.locator("#list tbody tr").count()) === 1, 30_000);
  // In the order that a heading says, and then the other way round; the address says so as well.
  await plain.page.goto(`${service.url}/mappings`);
  const names = async () => (await plain.page.locator("#list tbody tr td:first-child strong").allTextContents()).map((name) => name.toLowerCase());
  for (const [sort, sign] of [["ascending", 1], ["descending", -1]]) {
    await plain.page.getByRole("link", { name: "Program", exact: true }).click();
    await plain.page.locator(`th[aria-sort="${sort}"]`).waitFor();
    const shown = await names();
    assert.deepEqual(shown, [...shown].sort((a, b) => sign * (a < b ? -1 : a > b ? 1 : 0)));
  }
  assert.equal(new URL(plain.page.url()).searchParams.get("sort"), "-program_name");
  await plain.page.goto(`${service.url}/mappings/${roadshow.id}`);
  await plain.page.getByRole("button", { name: "Pause" }).click();
  await plain.page.getByText("Paused. Changes are received").waitFor();
  assert.equal((await service.api("GET", `/mappings/${roadshow.id}`)).state, "paused");
  await plain.page.getByRole("button", { name: "Resume" }).click();
  await plain.page.getByText("Active again").waitFor();
  await plain.context.close();
});

test("a key of lesser scope sees why it may not, and a forged form does nothing", async () => {
  const { key } = await service.api("POST", "/keys", { name: "reader", scopes: ["read"] });
  const reader = await visit();
  await logIn(reader.page, key, "/settings");
  await reader.page.getByRole("heading", { name: "Insufficient scope" }).waitFor();
  const forged = await reader.page.request.post(`${service.url}/settings/switch`, { form: { enabled: "false", csrf: "AAAA" } });
  assert.equal(forged.status(), 403);
  const own = await page.request.post(`${service.url}/settings/switch`, { form: { enabled: "false" } });
  assert.equal(own.status(), 403);
  assert.equal((await service.api("GET", "/settings/campaign-sync")).enabled, true);
  await reader.context.close();
});

test("pages with nothing on them, and vendors that are away, say what to do", async () => {
  const fresh = await unused();
  try {
    const other = await visit({ bypassCSP: true, reducedMotion: "reduce" });
    await other.page.goto(`${fresh.url}/login`);
    await other.page.getByLabel("API key").fill(fresh.key);
    await other.page.getByRole("button", { name: "Log in" }).click();
    const says = { "/": "No program is mapped yet", "/mappings": "Map a program", "/changes": "Nothing has been received yet", "/approvals": "No removals wait",
      "/subscriptions": "Nobody is told yet", "/audit": "Nothing was done yet", "/vendors": "No webhook was seen", "/checklist": "set webhooks.marketo_tokens" };
    for (const [path, text] of Object.entries(says)) {
      await other.page.goto(fresh.url + path);
      await other.page.getByText(text).first().waitFor({ timeout: 5_000 }).catch(async () => assert.fail(`${path} does not say ${text}, but ${await other.page.locator("main").innerText()}`));
    }
    await allSound(other.page, fresh.url, [...Object.keys(says), "/mappings/new"], "unused-");
    await fresh.vendorsGo();
    await other.page.goto(`${fresh.url}/mappings/new?program=1044`);
    await other.page.locator(".flash.bad").getByRole("link", { name: "Checklist" }).click();
    await other.page.getByText("to mend before all of it works").waitFor();
    await allSound(other.page, fresh.url, ["/mappings/new?program=1044", "/mappings/new?program=1044&campaign=7014S000000023kQAA", "/checklist", "/vendors"], "away-");
    assert.deepEqual(other.page.complaints, []);
    await other.context.close();
  } finally {
    await fresh.stop();
  }
});

test("tables come as files", async () => {
  const answer = await page.request.get(`${service.url}/mappings/${mapping}/members.csv`);
  assert.match(answer.headers()["content-disposition"], /members\.csv/);
  const { bridge } = await service.api("GET", `/mappings/${mapping}`);
  const lines = (await answer.text()).trim().split(/\r?\n/);
  assert.ok(lines[0].startsWith("id,mapping_id") && lines.length > bridge.in_sync, `${lines.length} lines`);
});

test("whoever logs out is out", async () => {
  await open("/");
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByLabel("API key").waitFor();
  await open("/mappings");
  assert.equal(new URL(page.url()).pathname, "/login");
  assert.deepEqual(page.complaints, []);
});
