<?php
// A connection for each page.
$redis = new Redis();
$redis->connect('127.0.0.1');
$redis->incr('pages');
echo $redis->get('pages');
