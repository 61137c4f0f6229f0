"""The simulated city: a seeded year of a city's congress, played from outside through the gateway.

It drives the demo, the end-to-end tests and the benchmarks. Invariants: everything goes in over the
gateway's HTTP API (departments: over their own Kafka topics, in a process of their own); nothing is
read or written behind the services' backs; the same seed and scale give the same city and year.

- `city`: counties, towns, deputies, departments and staff (pure)
- `case_texts`: the words of the cases (pure)
- `year`: the script of the year and the figures it must end with; `cases`, `motions` are parts of it (pure)
- `gateway_client`, `journal`, `driver`: play the script over HTTP and write down every answer
- `handling`, `residents`, `session`: the driver's parts for cases, for residents' concerns and for motions
- `report`: ask the services for each figure and compare
- `demo`: all of it in order, as `daibiaotong demo` calls it
"""
