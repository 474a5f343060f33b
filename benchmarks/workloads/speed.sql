-- Inserts, an index, joins, updates, deletes and text functions on tables in memory.
PRAGMA temp_store = MEMORY;
CREATE TABLE item(id INTEGER PRIMARY KEY, grp INTEGER, name TEXT, price REAL);
INSERT INTO item SELECT value, value * 7919 % 1000, printf('item %d of %d', value, value * 31 % 977), value * 0.25
  FROM generate_series(1, 200000);
CREATE INDEX item_grp ON item(grp, price);
SELECT count(*), sum(price), max(length(name)) FROM item WHERE name LIKE '%of 5%';
SELECT grp, count(*), group_concat(substr(name, 1, 6)) FROM item WHERE id < 60000 GROUP BY grp ORDER BY 2 DESC LIMIT 3;
UPDATE item SET name = upper(name) || ' changed' WHERE grp % 3 = 0;
SELECT count(*) FROM item a JOIN item b ON b.grp = a.grp AND b.id = a.id + 1000;
DELETE FROM item WHERE grp % 2 = 0;
SELECT count(DISTINCT name), avg(price) FROM item;
