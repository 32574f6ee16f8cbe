// Writes server/shop/src/events/places.txt: for each country its legal currencies, its main
// time zone, and all of its zones; - for none. Zones are from `zone.tab` of the time zone database (public domain),
// currencies from CLDR (npm package cldr-core, Unicode-3.0).
//
//   npm pack cldr-core && tar xzf cldr-core-*.tgz
//   node scripts/places.mjs /usr/share/zoneinfo package > server/shop/src/events/places.txt
import { readFileSync } from 'node:fs';

const [zoneinfo, cldr] = process.argv.slice(2);
const json = (name) => JSON.parse(readFileSync(`${cldr}/${name}`, 'utf8'));
const { region } = json('supplemental/currencyData.json').supplemental.currencyData;
const primary = json('supplemental/primaryZones.json').supplemental.primaryZones;
const release = readFileSync(`${zoneinfo}/tzdata.zi`, 'utf8').split('\n')[0].replace('# version ', '');

/** Zones for which CLDR still uses the old name. */
const RENAMED = { 'Europe/Kiev': 'Europe/Kyiv' };

/** The currencies that are legal tender in a country now. */
function currencies(country) {
  const now = (region[country] ?? []).flatMap((entry) =>
    Object.entries(entry).filter(([, of]) => !of._to && of._tender !== 'false'),
  );
  // Newest first: prices are in the newest.
  now.sort(([, a], [, b]) => (a._from < b._from ? 1 : -1));
  return now.map(([code]) => code);
}

const zones = new Map();
for (const line of readFileSync(`${zoneinfo}/zone.tab`, 'utf8').split('\n')) {
  if (!line || line.startsWith('#')) continue;
  const [country, , zone] = line.split('\t');
  zones.set(country, [...(zones.get(country) ?? []), zone]);
}
// Kosovo has no ISO 3166-1 code, and therefore no line in zone.tab.
zones.set('XK', ['Europe/Belgrade']);

console.log(`# Written by scripts/places.mjs from the time zone database ${release} (public domain) and`);
console.log(`# CLDR ${json('package.json').version} (© Unicode, Inc., Unicode License v3): country, currencies, the`);
console.log('# time zone of most of it, all of its zones; - for nothing.');
for (const country of [...zones.keys()].sort()) {
  const all = zones.get(country);
  const likely = all.length === 1 ? all[0] : all.find((zone) => zone === (RENAMED[primary[country]] ?? primary[country]));
  console.log([country, currencies(country).join(',') || '-', likely ?? '-', all.join(',')].join(' '));
}
