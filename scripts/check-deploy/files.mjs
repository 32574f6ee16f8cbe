// Shared by the checks of deploy/: reads files below a root, runs programs that are installed, and collects
// findings.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { parse, parseAllDocuments } from "yaml";

export class Checked {
  findings = [];
  left = [];
  constructor(root) {
    this.root = root;
  }
  // Adds a finding.
  wrong(file, sentence) {
    this.findings.push(`${file}: ${sentence}`);
  }
  // Adds a skipped check.
  leftOut(sentence) {
    if (!this.left.includes(sentence)) this.left.push(sentence);
  }
  path(file) {
    return join(this.root, file);
  }
  exists(file) {
    return existsSync(this.path(file));
  }
  read(file) {
    return readFileSync(this.path(file), "utf8");
  }
  // The documents of a YAML file; none and a finding if it does not parse.
  documents(file) {
    const found = parseAllDocuments(this.read(file), { uniqueKeys: true });
    const errors = found.flatMap((document) => document.errors);
    for (const error of errors) this.wrong(file, error.message.split("\n")[0]);
    return errors.length > 0 ? [] : found.map((document) => document.toJS()).filter((document) => document !== null);
  }
  // One YAML document with `<<: *name` filled in, or nothing.
  merged(file) {
    try {
      return parse(this.read(file), { merge: true });
    } catch (error) {
      this.wrong(file, error.message.split("\n")[0]);
      return undefined;
    }
  }
  // Every file below a folder whose name matches, as paths from the root.
  below(folder, pattern) {
    if (!this.exists(folder)) return [];
    return readdirSync(this.path(folder), { recursive: true })
      .map((name) => join(folder, name.toString()))
      .filter((file) => pattern.test(file) && statSync(this.path(file)).isFile())
      .map((file) => relative(".", file))
      .sort();
  }
}

// Runs a program: {code, out}; undefined if it is not installed.
export function run(program, args, options = {}) {
  const done = spawnSync(program, args, { encoding: "utf8", ...options });
  if (done.error?.code === "ENOENT") return undefined;
  return { code: done.status ?? 1, out: `${done.stdout ?? ""}${done.stderr ?? ""}`.trim(), stdout: done.stdout ?? "" };
}

// The server's sources, to search for names.
export function serverSources(checked) {
  checked.sources ??= checked
    .below("server", /\/src\/.*\.rs$/)
    .map((file) => checked.read(file))
    .join("\n");
  return checked.sources;
}

// The commands of the binary: the variants of `enum Command`, as clap writes them.
export function commands(checked) {
  const body = checked.read("server/src/cli.rs").match(/^enum Command \{\n(.*?)^\}/ms)?.[1] ?? "";
  return [...body.matchAll(/^ {4}([A-Z][A-Za-z]+)/gm)].map(([, name]) =>
    name.replace(/(?<!^)[A-Z]/g, (letter) => `-${letter}`).toLowerCase(),
  );
}

// Seconds that the server takes to stop: draining, finishing requests in progress, and sending its last
// traces.
export function stopSeconds(checked, settings) {
  const constant = (file, name) =>
    Number(checked.read(file).match(new RegExp(`const ${name}: Duration = Duration::from_secs\\((\\d+)\\)`))?.[1]);
  const more = Number(settings.STAGEDOOR_DRAIN_SECONDS ?? 0);
  return more + constant("server/src/serve.rs", "DRAIN") + constant("server/platform/src/telemetry/export.rs", "FINISH_TIMEOUT");
}

// Trusted proxy networks that may contain other machines than proxies: those could forge X-Forwarded-For.
export function tooWide(setting) {
  return (setting ?? "").split(",").filter((network) => {
    const [address, length] = network.trim().split("/");
    const least = address.includes(":") ? 48 : 17;
    return address !== "" && length !== undefined && Number(length) < least;
  });
}
