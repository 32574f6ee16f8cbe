// Kubernetes' schemas, from the package kubernetes-models, and a check for unknown fields.
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);
const schemas = join(dirname(require.resolve("kubernetes-models")), "_schemas");

// apps/v1 Deployment -> IoK8sApiAppsV1Deployment
function schemaName({ apiVersion, kind }) {
  const [version, group = "core"] = apiVersion.split("/").reverse();
  const capital = (word) => word[0].toUpperCase() + word.slice(1);
  return `IoK8sApi${capital(group.split(".")[0])}${capital(version)}${kind}`;
}

// The schemas accept unknown fields; the API server drops them with a warning, so a misspelt setting has no
// effect. A compiled schema reads only the fields that it knows, so fields that it has not read are unknown.
function watched(value, path, read) {
  if (typeof value !== "object" || value === null) return value;
  return new Proxy(value, {
    get(target, key) {
      const child = target[key];
      if (typeof key !== "string" || !Object.hasOwn(target, key)) return child;
      read.add(`${path}/${key}`);
      return watched(child, `${path}/${key}`, read);
    },
  });
}
function unread(value, path, read) {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, child]) => {
    const here = `${path}/${key}`;
    // An array's items are read by index, if at all.
    if (!read.has(here)) return Array.isArray(value) ? [] : [here];
    return unread(child, here, read);
  });
}

// Findings about a resource, a sentence each.
export function schemaFindings(resource) {
  if (typeof resource?.apiVersion !== "string" || typeof resource?.kind !== "string") {
    return ["it has no apiVersion or kind"];
  }
  let validate;
  try {
    ({ validate } = require(join(schemas, `${schemaName(resource)}.js`)));
  } catch {
    return [`Kubernetes has no ${resource.apiVersion} ${resource.kind}`];
  }
  const read = new Set();
  validate(watched(resource, "", read));
  const errors = (validate.errors ?? []).map(
    ({ instancePath, keyword, params }) => `${instancePath || "/"} ${keyword} ${JSON.stringify(params)}`,
  );
  return errors.concat(unread(resource, "", read).map((path) => `${path} is no field that Kubernetes knows`));
}
