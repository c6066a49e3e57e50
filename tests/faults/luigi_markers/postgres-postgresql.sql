-- what luigi.contrib.postgres (luigi==3.8.1) left on postgresql: tools/check_luigi.py --record
CREATE TABLE public.flights (
    date date,
    carrier text,
    flight integer,
    delay numeric
);
CREATE TABLE public.table_updates (
    update_id text NOT NULL,
    target_table text,
    inserted timestamp without time zone DEFAULT now()
);
INSERT INTO public.flights VALUES ('2013-01-01', 'UA', 1545, 2.5);
INSERT INTO public.flights VALUES ('2013-01-01', 'AA', 1141, -3);
INSERT INTO public.flights VALUES ('2013-01-02', 'UA', 1545, 2.5);
INSERT INTO public.flights VALUES ('2013-01-02', 'AA', 1141, -3);
INSERT INTO public.table_updates VALUES ('LoadFlights_2013_01_01_2ebbba1c41', 'flights', '2026-11-22 16:41:16.897075');
INSERT INTO public.table_updates VALUES ('LoadFlights_2013_01_02_17bd775219', 'flights', '2026-11-22 16:41:16.928498');
ALTER TABLE ONLY public.table_updates
    ADD CONSTRAINT table_updates_pkey PRIMARY KEY (update_id);
