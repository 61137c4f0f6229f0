"""The topics, their access rights, and the build file that fetches Apache Kafka."""
