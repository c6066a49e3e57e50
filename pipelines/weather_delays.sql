-- A few airport-hours have no observation, so LEFT JOIN: those flights count as 'unknown'.
SELECT flights.date,
       flights.origin,
       CASE WHEN weather.precip > 0 THEN 'rain' WHEN weather.precip = 0 THEN 'dry' ELSE 'unknown' END AS sky,
       count(*) AS flights,
       round(avg(flights.dep_delay), 2) AS mean_dep_delay,
       round(avg(weather.wind_speed), 2) AS mean_wind_speed
FROM flights
LEFT JOIN weather ON weather.origin = flights.origin AND weather.time_hour = flights.time_hour
WHERE flights.date = :date
GROUP BY 1, 2, 3
