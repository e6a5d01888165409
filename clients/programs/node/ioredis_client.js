'use strict';

// Sets a key with a connection for each command (each) or with one for all (kept).
const Redis = require('ioredis');
const pace = require('./pace');

async function each() {
  const redis = new Redis(6379, '127.0.0.1');
  await redis.set('key', 'value');
  await redis.quit();
}

if (process.argv[2] === 'kept') {
  const redis = new Redis(6379, '127.0.0.1');
  pace(() => redis.set('key', 'value'), () => redis.quit());
} else {
  pace(each);
}
