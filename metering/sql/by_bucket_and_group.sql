-- What rows come to by bucket (`at`) and, apart for each way of measuring, by group, in one pass.
SELECT grouping(at) = 1, at, {keys}, {combined}(quantity), sum(window_us), sum(covered_us)
FROM ({rows}) AS used
GROUP BY GROUPING SETS ({sets})
LIMIT {limit}
