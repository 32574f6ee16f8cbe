// deploy/Dockerfile: linted; all that it copies exists and is not excluded by .dockerignore; each step has
// the scripts and commands that it runs; and it builds what scripts/build.sh builds, with the same versions.
// No image is built here.
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { validate, ValidationSeverity } from "dockerfile-utils";
import { commands, run, serverSources } from "./files.mjs";

const FILE = "deploy/Dockerfile";

export function checkDockerfile(checked) {
  const text = checked.read(FILE);
  const wrong = (sentence) => checked.wrong(FILE, sentence);
  // Relative COPY targets are fine after a WORKDIR; the linter sees it only within one stage.
  const lints = validate(text, { instructionWorkdirRelative: ValidationSeverity.ERROR });
  for (const { message, range } of lints) wrong(`line ${range.start.line + 1}: ${message}`);
  const copied = copies(checked, text, wrong);
  const stages = readStages(text, wrong);
  for (const stage of stages.values()) steps(checked, stage, wrong);
  versionsOfTools(checked, stages, wrong);
  sameBuild(checked, text, copied, wrong);
  shipped(checked, text, wrong);
}

// Paths that are copied from the repository.
function copies(checked, text, wrong) {
  const allowed = checked
    .read(".dockerignore")
    .split("\n")
    .filter((line) => line.startsWith("!"))
    .map((line) => line.slice(1));
  const copied = new Set();
  for (const [, words] of text.matchAll(/^COPY (?!--from=)(.*)$/gm)) {
    for (const path of words.split(" ").slice(0, -1)) {
      copied.add(path);
      if (!checked.exists(path)) wrong(`copies ${path}, which does not exist`);
      if (!allowed.includes(path.split("/")[0])) wrong(`copies ${path}, which .dockerignore keeps out`);
    }
  }
  return copied;
}

// Programs of Debian's and Rust's images that the steps may use.
const OF_THE_IMAGES = ["apt-get", "cargo", "grep", "install", "ln", "rm", "rustup"];

// Each stage: its base, and its instructions in order.
function readStages(text, wrong) {
  const stages = new Map();
  let stage;
  const lines = text.replaceAll(/^\s*#.*\n/gm, "").replaceAll(/\\\n\s*/g, "").split("\n");
  for (const line of lines.filter((line) => line !== "")) {
    const [instruction, rest] = [line.split(" ", 1)[0], line.slice(line.indexOf(" ") + 1)];
    if (instruction === "FROM") {
      const [image, , name = "shipped"] = rest.split(" ");
      stage = { name, base: stages.get(image), instructions: [] };
      stages.set(name, stage);
    } else {
      stage?.instructions.push([instruction, rest]);
      const [, from] = rest.match(/--from=(\S+)/) ?? [];
      if (from !== undefined && !stages.has(from)) wrong(`copies from ${from}, which is no earlier stage`);
    }
  }
  return stages;
}

// A stage starts with the files of its base; its own steps add more.
function steps(checked, stage, wrong) {
  const has = stage.base?.has ?? { files: new Set(), everything: false, cargo: [] };
  stage.has = { files: new Set(has.files), everything: has.everything, cargo: [...has.cargo] };
  for (const [instruction, rest] of stage.instructions) {
    if (instruction === "COPY" && rest.startsWith("--from=sources /src ")) stage.has.everything = true;
    else if (instruction === "COPY") for (const path of rest.split(" ").slice(0, -1)) stage.has.files.add(path);
    if (instruction !== "RUN") continue;
    for (const command of rest.split("&&").map((part) => part.trim().replace(/^(?:[A-Z_]+=\S+ )+/, ""))) {
      step(checked, stage, command, wrong);
    }
  }
}

function step(checked, { name, has }, command, wrong) {
  const [program, subcommand] = command.split(" ");
  if (program.startsWith("scripts/")) return script(checked, name, has, program, wrong);
  if (!OF_THE_IMAGES.includes(program)) wrong(`${name}: runs ${program}, which is not installed`);
  if (program !== "cargo") return;
  if (subcommand === "install") has.cargo.push(command.split(" ").at(-1).replace(/^cargo-/, ""));
  else if (!has.cargo.includes(subcommand)) {
    wrong(`${name}: runs cargo ${subcommand}, which is not installed`);
  }
}

// A script, and the scripts that it runs or sources.
function script(checked, stage, has, file, wrong, seen = new Set()) {
  if (seen.has(file)) return;
  seen.add(file);
  if (!checked.exists(file)) return wrong(`${stage}: runs ${file}, which does not exist`);
  if (!has.everything && !has.files.has(file)) wrong(`${stage}: runs ${file}, which it has not copied`);
  const text = checked.read(file);
  const sourced = [...text.matchAll(/^\. "\$\(dirname "\$0"\)\/(\S+)"/gm), ...text.matchAll(/^\. "\$ROOT\/scripts\/(\S+)"/gm)];
  const called = [...text.matchAll(/^\s*(?:in_line )?scripts\/(\S+\.sh)\b/gm)];
  for (const [, other] of called) {
    if (checked.exists(`scripts/${other}`) && !(statSync(checked.path(`scripts/${other}`)).mode & 0o100)) {
      wrong(`${stage}: scripts/${other} cannot be run`);
    }
  }
  if (!(statSync(checked.path(file)).mode & 0o100) && !/^# shellcheck shell=/m.test(text)) wrong(`${stage}: ${file} cannot be run`);
  for (const [, other] of [...sourced, ...called]) script(checked, stage, has, `scripts/${other}`, wrong, seen);
}

// Runs the one step that needs no image: the part of Cargo.lock that it keeps must be what setup-tools.sh reads.
function versionsOfTools(checked, stages, wrong) {
  const [, command] = stages.get("wasm-bindgen-lock")?.instructions.find(([instruction]) => instruction === "RUN") ?? [];
  if (command === undefined) return wrong("has no stage wasm-bindgen-lock");
  const work = mkdtempSync(join(tmpdir(), "stagedoor-lock."));
  try {
    const left = join(work, "Cargo.lock");
    const here = command.replace("/all.lock", `'${checked.path("Cargo.lock")}'`).replace("> /Cargo.lock", `> '${left}'`);
    const done = run("sh", ["-c", here]);
    const wanted = checked.read("scripts/versions.sh").match(/^WASM_BINDGEN_VERSION=(\S+)/m)[1];
    if (done.code !== 0 || !readFileSync(left, "utf8").includes(`version = "${wanted}"`)) {
      wrong(`wasm-bindgen-lock: leaves no wasm-bindgen ${wanted} of Cargo.lock ${done.out}`);
    }
  } finally {
    rmSync(work, { recursive: true });
  }
}

// The build must be that of scripts/build.sh: by running it, with all of its inputs, on the toolchain of
// rust-toolchain.toml. And the dependencies must be built with cargo-leptos's options.
function sameBuild(checked, text, copied, wrong) {
  const build = checked.read("scripts/build.sh");
  const inputs = build.match(/^ {2}find (.*?) -type f/ms)?.[1].split(/[\s\\]+/) ?? [];
  if (inputs.length === 0) checked.wrong("scripts/build.sh", "its inputs cannot be read any more");
  for (const input of inputs) {
    if (!copied.has(input) && !copied.has(input.split("/")[0])) wrong(`does not copy ${input}, which the build reads`);
  }
  if (!/^RUN scripts\/build\.sh$/m.test(text)) wrong("does not build with scripts/build.sh");

  const toolchain = checked.read("rust-toolchain.toml");
  const channel = toolchain.match(/channel = "(.*)"/)[1];
  if (!text.includes(`FROM rust:${channel}-slim-`)) wrong(`is not built with Rust ${channel} of rust-toolchain.toml`);
  const list = (name) => toolchain.match(new RegExp(`${name} = \\[(.*)\\]`))[1].replaceAll(/[",]/g, "");
  if (!text.includes(`rustup component add ${list("components")}`)) wrong("adds other components than rust-toolchain.toml");
  if (!text.includes(`rustup target add ${list("targets")}`)) wrong("adds other targets than rust-toolchain.toml");
  const oldest = Number(checked.read("scripts/versions.sh").match(/^NODE_MIN=(\d+)/m)[1]);
  if (!(Number(text.match(/^FROM node:(\d+)/m)?.[1]) >= oldest)) wrong(`has a Node.js older than ${oldest}`);

  const leptos = checked.read("Cargo.toml").split("[[workspace.metadata.leptos]]")[1];
  const said = (name) => leptos.match(new RegExp(`^${name} = "(.*)"`, "m"))[1];
  const features = build.match(/--bin-features (\S+)/)[1];
  const cooked = text.replaceAll(/\\\n\s*/g, "");
  for (const cook of [
    `--release --package ${said("bin-package")} --bin ${said("bin-target")} --features ${features} `,
    `--profile ${said("lib-profile-release")} --package ${said("lib-package")} --target wasm32-unknown-unknown `,
  ]) {
    if (!cooked.includes(`cargo chef cook --locked ${cook}`)) wrong(`does not cook the dependencies with ${cook.trim()}`);
  }
  if (!text.includes("COPY --from=build /src/target/bin/stagedoor")) wrong("ships something else than the build's binary");
}

function shipped(checked, text, wrong) {
  const last = text.slice(text.lastIndexOf("\nFROM "));
  if (!/^USER \d+:\d+$/m.test(last)) wrong("does not run as a user with a number");
  if (!/^STOPSIGNAL SIGTERM$/m.test(last)) wrong("is not stopped by SIGTERM");
  if (!/^VOLUME \/data$/m.test(last)) wrong("has no volume /data");
  const port = last.match(/STAGEDOOR_ADDR=0\.0\.0\.0:(\d+)/)?.[1];
  if (last.match(/^EXPOSE (\d+)$/m)?.[1] !== port) wrong("exposes another port than it listens on");
  const known = commands(checked);
  const called = [/^HEALTHCHECK .*CMD \["stagedoor", "([a-z-]+)"/m, /^CMD \["([a-z-]+)"/m].map((one) => last.match(one)?.[1]);
  for (const command of called) {
    if (!known.includes(command)) wrong(`stagedoor has no command ${command}`);
  }
  const sources = serverSources(checked);
  for (const [, name] of last.matchAll(/\b(STAGEDOOR_[A-Z_]+)=/g)) {
    if (!sources.includes(`"${name}"`)) wrong(`stagedoor has no setting ${name}`);
  }
}
