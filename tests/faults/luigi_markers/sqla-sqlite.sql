-- what luigi.contrib.sqla (luigi==3.8.1) left on sqlite: tools/check_luigi.py --record
CREATE TABLE flights (
	date DATE, 
	carrier VARCHAR(2), 
	flight INTEGER, 
	delay NUMERIC(6, 1)
);
INSERT INTO "flights" VALUES('2013-01-01','UA',1545,2.5);
INSERT INTO "flights" VALUES('2013-01-01','AA',1141,-3);
INSERT INTO "flights" VALUES('2013-01-02','UA',1545,2.5);
INSERT INTO "flights" VALUES('2013-01-02','AA',1141,-3);
CREATE TABLE table_updates (
	update_id VARCHAR(128) NOT NULL, 
	target_table VARCHAR(128), 
	inserted DATETIME, 
	PRIMARY KEY (update_id)
);
INSERT INTO "table_updates" VALUES('LoadFlights_2013_01_01_2ebbba1c41','flights','2026-11-22 16:41:30.798103');
INSERT INTO "table_updates" VALUES('LoadFlights_2013_01_02_17bd775219','flights','2026-11-22 16:41:30.870084');
