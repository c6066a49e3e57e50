-- A cancelled flight has no departure time, and so no delay: avg() leaves it out.
SELECT flights.date,
       flights.carrier,
       airlines.name AS airline,
       count(*) AS flights,
       count(*) - count(flights.dep_time) AS cancelled,
       round(avg(flights.dep_delay), 2) AS mean_dep_delay,
       round(avg(flights.arr_delay), 2) AS mean_arr_delay
FROM flights
LEFT JOIN airlines ON airlines.carrier = flights.carrier
WHERE flights.date = :date
GROUP BY flights.date, flights.carrier, airlines.name
