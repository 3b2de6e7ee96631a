-- Which profiles say of which meters that they were measured so badly: for each pair of a meter and
-- qualities (written like '{estimated,lower_bound}'). A maximum that a profile does not name was
-- measured like its gauge.
SELECT wanted.number, array_agg(measurement.id)
FROM unnest(%(meters)s::text[], %(qualities)s::text[]) WITH ORDINALITY
        AS wanted (meter, qualities, number)
JOIN metering_measurement AS measurement ON coalesce(
    measurement.body -> 'meters' -> wanted.meter,
    CASE WHEN right(wanted.meter, 4) = '.max'
        THEN measurement.body -> 'meters' -> left(wanted.meter, -4) END
) ->> 0 = ANY (wanted.qualities::text[])
GROUP BY wanted.number
