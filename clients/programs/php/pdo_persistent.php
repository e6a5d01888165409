<?php
// A connection for each worker.
$db = new PDO('pgsql:host=127.0.0.1;port=5432;dbname=postgres', 'postgres', null, [PDO::ATTR_PERSISTENT => true]);
echo $db->query('select 1')->fetchColumn();
