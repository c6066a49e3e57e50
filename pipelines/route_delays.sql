SELECT date,
       origin,
       dest,
       count(*) AS flights,
       count(*) - count(dep_time) AS cancelled,
       avg(CAST(dep_delay AS numeric(9, 2))) AS mean_dep_delay
FROM lake_flights
WHERE date = :date
GROUP BY date, origin, dest
