'use strict';

// Queries PostgreSQL with a Client for each query (each) or with a Pool (kept).
const { Client, Pool } = require('pg');
const pace = require('./pace');

async function each() {
  const client = new Client();
  await client.connect();
  await client.query('select 1');
  await client.end();
}

if (process.argv[2] === 'kept') {
  const pool = new Pool({ max: 4 });
  const four = () => Promise.all([1, 2, 3, 4].map((n) => pool.query('select $1::int', [n])));
  pace(four, () => pool.end());
} else {
  pace(each);
}
