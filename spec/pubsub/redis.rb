# frozen_string_literal: true

require "fileutils"
require "socket"
require "tmpdir"
require_relative "../apps/program"

# A Redis of its own, at a Unix socket in a directory of its own; it can be killed and come back.
class Redis
  PATH = Program.server("redis-server")
  CLI = Program.server("redis-cli")
  # So that what it has said was done survives it.
  DURABLE = %w[--appendonly yes --appendfsync always].freeze

  attr_reader :directory

  # Runs one while the block does.
  def self.run(*options)
    redis = new(*options)
    yield redis
  ensure
    redis&.remove
  end

  def initialize(*options)
    @directory = Dir.mktmpdir("redis")
    @options = options
    start
  end

  def path = File.join(@directory, "redis.sock")

  def url = "unix:#{path}"

  def start
    @program = Program.new(PATH, "--port", "0", "--unixsocket", path, "--dir", @directory,
                           "--save", "", *@options, env: Program.server_environment)
    @program.wait_for(/ready to accept connections/i)
  rescue Program::Failed
    remove
    raise
  end

  def kill
    @program&.kill
    @program = nil
  end

  def signal(name) = Process.kill(name, @program.pid)

  def restart
    kill
    start
  end

  # The answer that redis-cli gets.
  def call(*command, options: [])
    IO.popen([Program.server_environment, CLI, *options, "-s", path, *command], err: %i[child out],
             &:read)
  end

  def remove
    kill
    FileUtils.rm_rf(@directory)
  end
end
