from __future__ import annotations

import asyncio
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable
from tests.unit.server.db.rows import add_organization, make_run

from landloom.server.accounts.tables import User
from landloom.server.db.base import Base
from landloom.server.db.session import Database
from landloom.server.runs.tables import Run
from landloom.server.workflows.tables import Workflow


class TestMigrations:
    async def test_the_tables_are_those_of_the_code(self, database: Database) -> None:
        assert Workflow.__table__ in Base.metadata.sorted_tables
        await database.migrate()
        async with database._engine.connect() as connection:
            difference = await connection.run_sync(
                lambda sync: compare_metadata(MigrationContext.configure(sync), Base.metadata)
            )
        assert difference == []

    def test_postgresql_has_words_for_all_of_it(self) -> None:
        dialect = postgresql.dialect()
        for table in Base.metadata.sorted_tables:
            assert str(CreateTable(table).compile(dialect=dialect))
            for index in table.indexes:
                assert str(CreateIndex(index).compile(dialect=dialect))


class TestScope:
    async def test_a_session_sees_and_changes_its_organization_only(
        self, database: Database
    ) -> None:
        async with database.writing(None) as session:
            mine, my_user = await add_organization(session)
            theirs, their_user = await add_organization(session)
            session.add_all([make_run(mine, my_user), make_run(theirs, their_user)])
        async with database.reading(mine) as session:
            assert {run.organization_id for run in await session.scalars(select(Run))} == {mine}
            assert [user.id for user in await session.scalars(select(User))] == [my_user]
            counted = select(func.count()).select_from(Run)
            assert (await session.scalars(counted)).one() == 1
            by_column = (await session.scalars(select(Run.organization_id))).all()
            assert by_column == [mine]
        async with database.writing(mine) as session:
            await session.execute(update(Run).values(name="changed"))
        async with database.reading(None) as session:
            rows = (await session.execute(select(Run.organization_id, Run.name))).all()
            assert dict(map(tuple, rows)) == {mine: "changed", theirs: "name"}
        # A second organization right after the first: no cached statement carries the first's id.
        async with database.reading(theirs) as session:
            assert {run.organization_id for run in await session.scalars(select(Run))} == {theirs}


class TestWriting:
    async def test_writers_that_read_first_wait_for_one_another(self, database: Database) -> None:
        async with database.writing(None) as session:
            run = make_run(*await add_organization(session), exit_code=0)
            session.add(run)

        async def add_one() -> None:
            async with database.writing(None) as session:
                row = await session.get_one(Run, run.id)
                await asyncio.sleep(0)
                row.exit_code = (row.exit_code or 0) + 1

        await asyncio.gather(*(add_one() for _ in range(20)))
        async with database.reading(None) as session:
            assert (await session.get_one(Run, run.id)).exit_code == 20

    async def test_an_error_rolls_all_back(self, database: Database) -> None:
        try:
            async with database.writing(None) as session:
                await add_organization(session)
                raise RuntimeError
        except RuntimeError:
            pass
        async with database.reading(None) as session:
            assert (await session.scalars(select(func.count()).select_from(User))).one() == 0

    async def test_only_what_must_outlive_a_power_cut_waits_for_the_disk(
        self, database: Database
    ) -> None:
        async def level(*, durable: bool) -> int:
            async with database.writing(None, durable=durable) as session:
                return int((await session.execute(text("PRAGMA synchronous"))).scalar_one())

        normal, full = 1, 2
        found = [await level(durable=each) for each in (False, True, True, False)]
        assert found == [normal, full, full, normal]

    def test_the_folder_is_for_its_owner_only(self, tmp_path: Path) -> None:
        Database(f"sqlite+aiosqlite:///{tmp_path}/new/x.sqlite")
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
