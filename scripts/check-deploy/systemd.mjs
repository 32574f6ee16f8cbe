// deploy/systemd: units are valid for systemd and run commands that exist.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { commands, run, stopSeconds } from "./files.mjs";

const FOLDER = "deploy/systemd";

export function checkSystemd(checked) {
  const units = checked.below(FOLDER, /\.(service|timer)$/);
  for (const file of units) {
    const text = checked.read(file);
    for (const [, program, command] of text.matchAll(/^ExecStart=\/usr\/local\/bin\/(\S+) ?(\S*)/gm)) {
      if (program === "stagedoor" && !commands(checked).includes(command)) {
        checked.wrong(file, `stagedoor has no command ${command}`);
      } else if (program !== "stagedoor" && !checked.exists(`${FOLDER}/${program}`)) {
        checked.wrong(file, `starts ${program}, which does not exist`);
      }
    }
    if (file.endsWith(".timer") && !checked.exists(file.replace(".timer", ".service"))) {
      checked.wrong(file, "has no service");
    }
  }
  const stop = Number(checked.read(`${FOLDER}/stagedoor.service`).match(/^TimeoutStopSec=(\d+)$/m)?.[1]);
  if (!(stop > stopSeconds(checked, {}))) checked.wrong(`${FOLDER}/stagedoor.service`, `leaves ${stop} seconds to stop`);
  verify(checked, units);
}

// systemd checks that programs exist, and ours are not installed: replaces them by another.
function verify(checked, units) {
  const work = mkdtempSync(join(tmpdir(), "stagedoor-systemd."));
  try {
    const copies = units.map((file) => {
      const copy = join(work, basename(file));
      writeFileSync(copy, checked.read(file).replaceAll(/^ExecStart=\/usr\/local\/bin\/\S+/gm, "ExecStart=/bin/true"));
      return copy;
    });
    const done = run("systemd-analyze", ["verify", ...copies]);
    if (done === undefined) checked.leftOut("systemd is not installed: its units were only read");
    // It ignores unknown settings with a warning, without an error code.
    else if (done.code !== 0 || done.out !== "") checked.wrong(FOLDER, done.out.replaceAll(`${work}/`, ""));
  } finally {
    rmSync(work, { recursive: true });
  }
}
