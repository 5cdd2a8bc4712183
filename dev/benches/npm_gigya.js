// The npm package `gigya` for distance.rs: prints how many milliseconds the calls took.
// node npm_gigya.js PACKAGE_FOLDER CA_FILE PORT THREADS CALLS_PER_THREAD
const [folder, caFile, port, threads, calls] = process.argv.slice(2);
const https = require('https');

// The package knows Gigya's own hosts and its own CA certificates alone: its connections
// are led to loopback, and its copy of the certificates is replaced.
require('fs').copyFileSync(caFile, `${folder}/assets/cacert.pem`);
const original = https.request;
https.request = (options, callback) => {
  Object.assign(options, { host: '127.0.0.1', hostname: '127.0.0.1', port, servername: 'localhost' });
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
