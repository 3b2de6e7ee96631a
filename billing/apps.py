from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from billing.letters import register_letters
        from billing.queries.spend_limits import simulate_spend
        from metering.spend_simulation import rated_by

        register_letters()
        rated_by(simulate_spend)
