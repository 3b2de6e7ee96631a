from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        from tenants.mail_letters import register_letters
        from tenants.webhook_letters import register_letter

        register_letters()
        register_letter()
