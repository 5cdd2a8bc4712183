// The npm package `gigya` for distance.rs: prints how many milliseconds the calls took.
// node npm_gigya.js PACKAGE_FOLDER CA_FILE PORT THREADS CALLS_PER_THREAD
const [folder, caFile, port, threads, calls] = process.argv.slice(2);
const https = require('https');
const ca = require('fs').readFileSync(caFile);

// The package knows Gigya's own hosts alone: its connections are led to loopback.
const original = https.request;
https.request = (options, callback) => {
  Object.assign(options, { host: '127.0.0.1', hostname: '127.0.0.1', port, servername: 'localhost', ca });
  return original.call(https, options, callback);
};

const { Gigya } = require(folder);
const gigya = new Gigya('3_key', 'us1', 'userKey', 'Cc5yFv4kcjAeqg/J7Xhn+A==');

async function loop() {
  for (let i = 0; i < calls; i++) {
    await gigya.accounts.setAccountInfo({ UID: '_guid_abc', profile: { age: 42 } });
  }
}

async function main() {
  const started = process.hrtime.bigint();
  await Promise.all(Array.from({ length: Number(threads) }, loop));
  console.log(Number(process.hrtime.bigint() - started) / 1e6);
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
