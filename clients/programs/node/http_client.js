'use strict';

// Gets a page with an agent that closes each connection (each) or keeps them (kept).
const http = require('http');
const pace = require('./pace');

const agent = new http.Agent({ keepAlive: process.argv[2] === 'kept' });

function get() {
  return new Promise((resolve, reject) => {
    const request = http.get('http://127.0.0.1/page.html', { agent }, (response) => {
      response.resume();
      response.on('end', resolve);
    });
    request.on('error', reject);
  });
}

pace(get, () => agent.destroy());
