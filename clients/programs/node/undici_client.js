'use strict';

// Gets pages through a Pool of undici.
const { Pool } = require('undici');
const pace = require('./pace');

const pool = new Pool('http://127.0.0.1', { connections: 4 });

async function get() {
  const { body } = await pool.request({ path: '/page.html', method: 'GET' });
  await body.dump();
}

pace(() => Promise.all([1, 2, 3, 4].map(get)), () => pool.close());
