-- what luigi.contrib.sqla (luigi==3.8.1) left on postgresql: tools/check_luigi.py --record
CREATE TABLE public.flights (
    date date,
    carrier character varying(2),
    flight integer,
    delay numeric(6,1)
);
CREATE TABLE public.table_updates (
    update_id character varying(128) NOT NULL,
    target_table character varying(128),
    inserted timestamp without time zone
);
INSERT INTO public.flights VALUES ('2013-01-01', 'UA', 1545, 2.5);
INSERT INTO public.flights VALUES ('2013-01-01', 'AA', 1141, -3.0);
INSERT INTO public.flights VALUES ('2013-01-02', 'UA', 1545, 2.5);
INSERT INTO public.flights VALUES ('2013-01-02', 'AA', 1141, -3.0);
INSERT INTO public.table_updates VALUES ('LoadFlights_2013_01_01_2ebbba1c41', 'flights', '2026-11-22 16:41:42.720719');
INSERT INTO public.table_updates VALUES ('LoadFlights_2013_01_02_17bd775219', 'flights', '2026-11-22 16:41:42.862406');
ALTER TABLE ONLY public.table_updates
    ADD CONSTRAINT table_updates_pkey PRIMARY KEY (update_id);
