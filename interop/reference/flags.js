// `--name value` flags of the reference servers; numbers become numbers.
export function flags(defaults) {
  const result = { ...defaults };
  const argv = process.argv.slice(2);
  for (let i = 0; i < argv.length; i += 2) {
    const name = argv[i].replace(/^--/, "");
    if (!(name in defaults) || argv[i + 1] === undefined) {
      console.error(`unknown flag or missing value: ${argv[i]}`);
      process.exit(2);
    }
    result[name] = typeof defaults[name] === "number" ? Number(argv[i + 1]) : argv[i + 1];
  }
  return result;
}
