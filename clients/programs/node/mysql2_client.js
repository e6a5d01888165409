'use strict';

// Queries MariaDB with a connection for each query (each) or with a pool (kept).
const mysql = require('mysql2/promise');
const pace = require('./pace');

const options = { host: '127.0.0.1', user: 'app', password: 'secret' };

async function each() {
  const connection = await mysql.createConnection(options);
  await connection.query('select 1');
  await connection.end();
}

if (process.argv[2] === 'kept') {
  const pool = mysql.createPool({ ...options, connectionLimit: 4 });
  const four = () => Promise.all([1, 2, 3, 4].map(() => pool.query('select 1')));
  pace(four, () => pool.end());
} else {
  pace(each);
}
