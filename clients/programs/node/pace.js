'use strict';

// Calls work every 30 ms, each call after the one before, for 5 s; then done.
module.exports = async function pace(work, done) {
  const end = Date.now() + 5000;
  try {
    while (Date.now() < end) {
      await work();
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    if (done) await done();
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
};
