<?php
// A connection for each worker.
$redis = new Redis();
$redis->pconnect('127.0.0.1');
$redis->incr('pages');
echo $redis->get('pages');
