"""What a flow table is: schema, files, splits, simulation. No torch."""
