metering_rollup.application_id = ANY (%s::uuid[])
