'use strict';

// Gets a page through axios with an agent that closes each connection.
const http = require('http');
const axios = require('axios');
const pace = require('./pace');

const client = axios.create({ httpAgent: new http.Agent({ keepAlive: false }) });

pace(() => client.get('http://127.0.0.1/page.html'));
