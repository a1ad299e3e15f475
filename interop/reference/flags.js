// `--name value` flags of the reference servers; numbers become numbers. A flag whose default is `false` has no value.
export function flags(defaults) {
  const result = { ...defaults };
  const argv = process.argv.slice(2);
  while (argv.length > 0) {
    const flag = argv.shift();
    const name = flag.replace(/^--/, "");
    if (defaults[name] === false) {
      result[name] = true;
      continue;
    }
    const value = argv.shift();
    if (!(name in defaults) || value === undefined) {
      console.error(`unknown flag or missing value: ${flag}`);
      process.exit(2);
    }
    result[name] = typeof defaults[name] === "number" ? Number(value) : value;
  }
  return result;
}
