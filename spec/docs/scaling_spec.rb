# frozen_string_literal: true

require_relative "../../rakelib/page"
require_relative "../pubsub/cluster"
require_relative "../pubsub/redis"

# Statements of docs/scaling.md about Redis.
RSpec.describe "docs/scaling.md", :extension, timeout: 60 do
  include Cluster

  before { skip "there is no redis-server (bin/setup unpacks it)" unless Redis::PATH }
  after { end_members }

  it "has a user that needs no more" do
    rules = Page.new("docs/scaling.md").text[/^user app (.*)$/, 1]
    Redis.run do |redis|
      redis.call("ACL", "SETUSER", "app", *rules.split)
      all = Array.new(2) { member("#{redis.url}?user=app&password=secret") }
      all.each do |one|
        one.call("hear 'room'; hear 'kept:1'; EM::WebSocket.history('kept:1') { tell('loaded') }")
        one.hears("loaded")
      end
      sleep 0.01 until redis.call("PUBSUB", "NUMSUB", "em-websocket:room").include?("2")
      all.first.call("%w[room kept:1].each { |name| EM::WebSocket.publish(name, 'hello') }")
      all.product(%w[room kept:1]) { |one, name| one.hears(name, "hello") }
      expect(redis.call("ACL", "LOG").strip).to be_empty
    end
  end

  it "names all figures that there are" do
    keys = member("unix:/nobody").call("EM::WebSocket.const_get(:Native).pubsub_stats.keys")
    table = Page.new("docs/scaling.md").text[/^## Monitoring\n(.*?)^## /m, 1]
    expect(table.scan(/`:(pubsub_\w+)`/).flatten).to match_array(keys)
  end
end
