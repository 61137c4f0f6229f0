"""PostgreSQL: engine, set-based writes, migrations, and which errors pass by themselves."""
