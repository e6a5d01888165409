<?php
// A connection for each page.
$db = new PDO('pgsql:host=127.0.0.1;port=5432;dbname=postgres', 'postgres');
echo $db->query('select 1')->fetchColumn();
