-- what luigi.contrib.mysqldb (luigi==3.8.1) left on mysql: tools/check_luigi.py --record
CREATE TABLE `flights` (
  `date` date DEFAULT NULL,
  `carrier` varchar(2) DEFAULT NULL,
  `flight` int(11) DEFAULT NULL,
  `delay` decimal(6,1) DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO flights VALUES ('2013-01-01', 'UA', 1545, '2.5');
INSERT INTO flights VALUES ('2013-01-01', 'AA', 1141, '-3.0');
INSERT INTO flights VALUES ('2013-01-02', 'UA', 1545, '2.5');
INSERT INTO flights VALUES ('2013-01-02', 'AA', 1141, '-3.0');
CREATE TABLE `table_updates` (
  `id` bigint(20) NOT NULL AUTO_INCREMENT,
  `update_id` varchar(128) NOT NULL,
  `target_table` varchar(128) DEFAULT NULL,
  `inserted` timestamp NULL DEFAULT current_timestamp(),
  PRIMARY KEY (`update_id`),
  KEY `id` (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO table_updates VALUES (1, 'LoadFlights_2013_01_01_2ebbba1c41', 'flights', '2026-11-22 16:41:23');
INSERT INTO table_updates VALUES (2, 'LoadFlights_2013_01_02_17bd775219', 'flights', '2026-11-22 16:41:23');
