# frozen_string_literal: true

require_relative "cluster"
require_relative "redis"

# Members of channels that several processes have in common.
RSpec.describe EventMachine::WebSocket, "pubsub, presence", :extension, timeout: 90 do
  include Cluster

  before { skip "there is no redis-server (bin/setup unpacks it)" unless Redis::PATH }
  after { end_members }

  def join(member, id, name = "n")
    @ports ||= {}
    port = @ports[member] ||= member.call("serve_members")
    RawClient.open(port, target: "/?id=#{id}&name=#{name}").tap(&:read_text)
  end

  def ids(member) = member.call("EM::WebSocket.presence('room').keys.sort")

  def all_see(members, *ids)
    members.each { |member| member.wait_for(ids.inspect) { self.ids(member) == ids } }
  end

  def told(member, kind) = member.told.filter_map { |words| words[1] if words.first == kind }

  it "knows in each process who is in any, and says once for all who comes and goes" do
    Redis.run do |redis|
      all = connected(redis.url, 3)
      ann = join(all[0], "ann", "Ann")
      all_see(all, "ann")
      expect(all.map { |one| one.call("EM::WebSocket.presence('room')['ann'][:name]") })
        .to eq(%w[Ann] * 3)
      bob = join(all[1], "bob")
      again = join(all[2], "ann", "Ann")
      all_see(all, "ann", "bob")
      ann.disconnect
      again.text("leave")
      all_see(all, "bob")
      bob.disconnect
      all_see(all)
      expect(all.flat_map { |one| told(one, "join") }).to contain_exactly("ann", "bob")
      expect(all.flat_map { |one| told(one, "leave") }).to contain_exactly("ann", "bob")
    end
  end

  it "tells a process that comes later who is there, and forgets those of one that is killed" do
    Redis.run do |redis|
      one, two = connected(redis.url, 2)
      join(one, "ann")
      join(two, "bob")
      three, = connected(redis.url, 1)
      three.call("serve_members")
      all_see([one, two, three], "ann", "bob")
      one.call("EM::WebSocket.const_get(:SharedPresence).send(:remove_const, :TTL)")
      [one, three].each do |it|
        it.call("EM::WebSocket.const_get(:SharedPresence).const_set(:TTL, 6)")
      end
      two.signal("KILL")
      all_see([one, three], "ann")
      expect([one, three].flat_map { |it| told(it, "leave") }).to eq(%w[bob])
    end
  end

  it "lets no name that a client may say get at what processes tell each other" do
    one = member(nil)
    name = '"\0presence"'
    ["EM::WebSocket.publish(#{name}, '[]')", "EM::WebSocket::Channel.new(#{name})",
     "EM::WebSocket.history(#{name}) {}", "EM::WebSocket.presence(#{name})"].each do |code|
      expect(one.call(code)).to match(/\AArgumentError: .*must not begin with a NUL/)
    end
  end

  it "knows them again after Redis was gone" do
    Redis.run do |redis|
      all = connected(redis.url, 2)
      join(all[0], "ann")
      all_see(all, "ann")
      redis.kill
      bob = join(all[1], "bob")
      redis.start
      all_see(all, "ann", "bob")
      bob.text("leave")
      all_see(all, "ann")
    end
  end
end
