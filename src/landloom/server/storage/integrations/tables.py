"""The table of storage integrations."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from landloom.server.db.base import ID_LENGTH, Base, Identified, OfOrganization


class StorageIntegration(Base, Identified, OfOrganization):
    """An S3 location elsewhere, and how an organization's runs and people reach it."""

    __tablename__ = "storage_integrations"
    __table_args__ = (
        UniqueConstraint("organization_id", "name"),
        UniqueConstraint("organization_id", "profile"),
    )

    name: Mapped[str] = mapped_column(String(64))
    profile: Mapped[str] = mapped_column(String(64))
    """Name of its AWS profile in jobs: the name, in letters that such a file can hold."""
    bucket: Mapped[str] = mapped_column(String(255))
    prefix: Mapped[str] = mapped_column(Text)
    """Empty for the whole bucket; otherwise it ends with `/`."""
    endpoint_url: Mapped[str] = mapped_column(Text)
    """Without the bucket."""
    region: Mapped[str] = mapped_column(String(64))
    addressing: Mapped[Literal["path", "virtual"]] = mapped_column(String(16))
    read_only: Mapped[bool]
    access_key: Mapped[str | None] = mapped_column(String(255))
    """None where a role is assumed with the platform's own keys, or nothing is signed."""
    sealed_secret: Mapped[str | None] = mapped_column(Text)
    """The secret key, sealed for this row; see `kit.sealing`."""
    role_arn: Mapped[str | None] = mapped_column(Text)
    """Role that is assumed; None uses the keys themselves."""
    trusted_account_ids: Mapped[str] = mapped_column(Text, default="")
    """AWS accounts that the role trusts, separated by commas."""
    created_by_id: Mapped[str] = mapped_column(String(ID_LENGTH))

    @property
    def trusted_accounts(self) -> list[str]:
        """`trusted_account_ids` as a list."""
        return self.trusted_account_ids.split(",") if self.trusted_account_ids else []

    @property
    def place(self) -> str:
        """What its secret is sealed for, and what messages call it."""
        return f"the integration {self.organization_id}/{self.id}"
