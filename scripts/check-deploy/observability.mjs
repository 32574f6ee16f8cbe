// deploy/observability: rules and queries are valid for Prometheus and use metrics that the server has; each
// alert has a section in docs/deploy.md and a test. Uses Prometheus' promtool if it is installed.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { stringify } from "yaml";
import { run, serverSources } from "./files.mjs";

const FOLDER = "deploy/observability";
const ALERTS = `${FOLDER}/alerts.yaml`;
const TESTS = `${FOLDER}/alerts-test.yaml`;

export function checkObservability(checked) {
  const dashboards = checked.below(`${FOLDER}/grafana/dashboards`, /\.json$/);
  const queries = dashboards.flatMap((file) => dashboard(checked, file));
  const rules = (checked.documents(ALERTS)[0]?.groups ?? []).flatMap(({ rules }) => rules);
  for (const { alert, expr } of rules) queries.push({ file: ALERTS, name: alert, expr });
  figures(checked, queries);
  documented(checked);
  runbooks(checked, rules);
  for (const file of checked.below(`${FOLDER}/grafana/provisioning`, /\.yaml$/)) checked.documents(file);
  promtool(checked, queries);
}

function dashboard(checked, file) {
  let panels;
  try {
    ({ panels } = JSON.parse(checked.read(file)));
  } catch (error) {
    checked.wrong(file, error.message);
    return [];
  }
  const ids = panels.map(({ id }) => id);
  if (new Set(ids).size !== ids.length) checked.wrong(file, "two panels have the same id");
  return panels.flatMap(({ title, targets }) => (targets ?? []).map(({ expr }) => ({ file, name: title, expr })));
}

// Each metric in a query must be one that the server has, by the same name.
function figures(checked, queries) {
  const sources = serverSources(checked);
  for (const { file, name, expr } of queries) {
    for (const [figure] of expr.matchAll(/\bstagedoor_[a-z0-9_]+/g)) {
      const written = [figure, figure.replace(/_(bucket|sum|count)$/, "")];
      if (!written.some((one) => sources.includes(`"${one}"`))) {
        checked.wrong(file, `${name}: the server has no figure ${figure}`);
      }
    }
    labels(checked, sources, file, name, expr);
  }
}

// Labels that a scrape adds, and those of a histogram.
const OF_EVERY_FIGURE = ["job", "instance", "role", "pod", "le"];

// A query must not use a label that the metric does not have: it would find nothing, or not group.
function labels(checked, sources, file, name, expr) {
  const known = (figure) => {
    const written = [...sources.matchAll(new RegExp(`!\\(\\s*"${figure.replace(/_(bucket|sum|count)$/, "")}"([^;]*?)\\)\\s*\\.`, "g"))];
    return OF_EVERY_FIGURE.concat(written.flatMap(([, rest]) => [...rest.matchAll(/"([a-z]+)" =>/g)].map(([, label]) => label)));
  };
  const all = [...expr.matchAll(/\bstagedoor_[a-z0-9_]+/g)].flatMap(([figure]) => known(figure));
  for (const [, figure, matchers] of expr.matchAll(/\b(stagedoor_[a-z0-9_]+)\{([^}]*)\}/g)) {
    for (const [, label] of matchers.matchAll(/([a-z_]+)\s*[=!]/g)) {
      if (!known(figure).includes(label)) checked.wrong(file, `${name}: ${figure} has no label ${label}`);
    }
  }
  for (const [, by] of expr.matchAll(/\bby \(([^)]*)\)/g)) {
    for (const label of by.split(",").map((word) => word.trim())) {
      if (!all.concat(OF_EVERY_FIGURE).includes(label)) checked.wrong(file, `${name}: nothing in it has a label ${label}`);
    }
  }
}

// docs/deploy.md must explain every metric.
function documented(checked) {
  const said = checked.read("docs/deploy.md");
  for (const figure of new Set([...serverSources(checked).matchAll(/"(stagedoor_[a-z_]+)"/g)].map(([, one]) => one))) {
    if (!said.includes(`| \`${figure}\` |`)) checked.wrong("docs/deploy.md", `does not say what ${figure} is`);
  }
}

function runbooks(checked, rules) {
  const headings = [...checked.read("docs/deploy.md").matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading.toLowerCase().replaceAll(/[^a-z0-9 -]/g, "").replaceAll(" ", "-"),
  );
  const tested = checked.exists(TESTS) ? checked.read(TESTS) : "";
  for (const { alert, annotations } of rules) {
    const [file, anchor] = (annotations?.runbook ?? "").split("#");
    if (file !== "docs/deploy.md" || !headings.includes(anchor)) {
      checked.wrong(ALERTS, `${alert}: docs/deploy.md has no section ${anchor}`);
    }
    for (const [what, list] of [["fires", "exp_alerts:\\s+- exp_labels"], ["is silent", "exp_alerts: \\[\\]"]]) {
      const test = new RegExp(`alertname: ${alert}\\s+eval_time: \\S+\\s+${list}`);
      if (!test.test(tested)) checked.wrong(TESTS, `nothing tests that ${alert} ${what} when it should`);
    }
  }
}

function promtool(checked, queries) {
  if (run("promtool", ["--version"]) === undefined) {
    checked.leftOut("promtool is not installed: rules, their tests and queries were only read");
    return;
  }
  const work = mkdtempSync(join(tmpdir(), "stagedoor-promtool."));
  const ask = (file, args, options) => {
    const { code, out } = run("promtool", args, options);
    if (code !== 0) checked.wrong(file, out);
  };
  try {
    ask(ALERTS, ["check", "rules", checked.path(ALERTS)]);
    ask(TESTS, ["test", "rules", basename(TESTS)], { cwd: checked.path(FOLDER) });
    for (const file of checked.below(FOLDER, /observability\/prometheus[^/]*\.yaml$/)) {
      const [config] = checked.documents(file);
      if (config === undefined) continue;
      for (const rules of config.rule_files ?? []) {
        if (!checked.exists(join(FOLDER, rules))) checked.wrong(file, `names ${rules}, which does not exist`);
      }
      // Debian's promtool is built without Kubernetes: only the rest of that job is checked.
      for (const job of config.scrape_configs ?? []) delete job.kubernetes_sd_configs;
      delete config.rule_files;
      writeFileSync(join(work, "prometheus.yaml"), stringify(config));
      ask(file, ["check", "config", join(work, "prometheus.yaml")]);
    }
    // The dashboard's queries as rules, with the interval that Grafana substitutes.
    const rules = queries.map(({ expr }, number) => ({
      record: `query:${number}`,
      expr: expr.replaceAll("$__rate_interval", "5m"),
    }));
    writeFileSync(join(work, "queries.yaml"), stringify({ groups: [{ name: "queries", rules }] }));
    ask(`${FOLDER}/grafana/dashboards`, ["check", "rules", join(work, "queries.yaml")]);
  } finally {
    rmSync(work, { recursive: true });
  }
}
