# frozen_string_literal: true

require "eventmachine"
require "monitor"
require_relative "checks"
require_relative "native"
require_relative "pubsub"
require_relative "reactor"
require_relative "shared_presence"
require_relative "transport"

module EventMachine
  module WebSocket
    # Members of channels, by ids that the application gives its connections. An id is there
    # while a connection of it is, and for a time of grace after the last one is gone.
    #
    # The events of all channels have one order: they are put into a queue under the lock, and told
    # on the reactor's thread.
    #
    # @api private
    module Presence
      @blocks = {}

      # The default of `grace:`, in seconds.
      GRACE = 15

      # One id in one channel.
      class Member
        # @return [String] frozen
        attr_reader :channel

        # @return [Object]
        attr_reader :id

        # @return [Hash{Connection => true}] by identity; empty in the time of grace
        attr_reader :connections

        # @return [Hash]
        attr_accessor :info

        # @return [Numeric] seconds
        attr_accessor :grace

        # @param channel [String]
        # @param id [Object]
        def initialize(channel, id)
          @channel = channel.dup.freeze
          @id = id.is_a?(String) ? id.dup.freeze : id
          @connections = {}.compare_by_identity
        end
      end

      private_constant :Member

      class << self
        # See {Subscriptions#join}.
        #
        # @param most [Integer] how many channels the connection may be in
        def join(connection, channel, (id, info, grace), most)
          check(channel, id, info)
          grace = Checks.timer(Checks.duration(:grace, grace))
          handler = Transport.get(connection, :@handler)
          raise WebSocketError, "Cannot join before onopen callback" unless handler

          share
          is_new = @lock.synchronize do
            expire
            enter(connection, handler, [channel, id, info, grace, most])
          end
          tell
          is_new
        end

        # See {Subscriptions#leave}.
        def leave(connection, channel)
          Native.subscribers(channel)
          @lock.synchronize do
            expire
            member = Transport.of(connection).cold_state&.joins&.delete(channel)
            forget(member) if member && !remains?(member, connection)
          end
          tell
        end

        # A connection is gone: who has no other one has a time of grace.
        #
        # @param connection [Connection]
        # @param joins [Hash{String => Member}, nil] those of its transport
        def gone(connection, joins)
          return if joins.nil? || joins.empty?

          @lock.synchronize do
            joins.each_value do |member|
              next if remains?(member, connection)

              @leaving[member.grace][member] = now + member.grace
            end
            joins.clear
          end
          Reactor.next_tick { sweep }
        end

        # @return [Hash{Object => Hash}] the infos of those who are in a channel, by their ids
        def members(channel)
          Native.subscribers(channel)
          share
          members = @lock.synchronize do
            expire
            here = (@members[channel] || {}).transform_values(&:info)
            @shared ? @shared.members(channel).merge(here) : here
          end
          tell
          members
        end

        # Has members in common with other processes, where the channels are.
        def share
          return if @shared.nil? && !PubSub.active?

          @lock.synchronize { @shared ||= SharedPresence.new(self) }
          Reactor.schedule { @shared.begin } if EventMachine.reactor_running?
        end

        # A broker is there, or is there again.
        def resume
          @shared&.resume
        end

        # Runs a block under the lock.
        def synchronize(&block)
          @lock.synchronize(&block)
        end

        # @return [Array<Member>] those of this process
        def local
          @members.each_value.flat_map(&:values)
        end

        # @return [Boolean] whether this process has the member
        def local?(channel, id)
          @members[channel]&.key?(id) || false
        end

        # A member is gone that another process had.
        def gone_elsewhere(channel, id, info)
          @events << [:leave, channel, id, info]
        end

        # Sets what is called for channels of a pattern.
        #
        # @param kind [:join, :update, :leave]
        # @param pattern [String]
        # @param block [Proc]
        def on(kind, pattern, block)
          @lock.synchronize { @blocks = @blocks.merge([kind, pattern.dup.freeze] => block) }
          share
        end

        # In a forked child: connections are the parent's; the rules hold here, too.
        def reset
          @lock = Monitor.new
          @members = {}
          @leaving = Hash.new { |all, grace| all[grace] = {} }
          @events = Thread::Queue.new
          @timer = nil
          @shared = nil
        end

        # Tells what has happened, on the reactor's thread, and the other processes.
        def tell
          @shared&.send_all
          Reactor.schedule { tell_events } unless @events.empty?
          nil
        end

        private

        def check(channel, id, info)
          Native.subscribers(channel)
          raise ArgumentError, "id: nil is nobody" if id.nil?
          raise ArgumentError, "info: #{Checks.shown(info)} is no Hash" unless info.is_a?(Hash)
        end

        def enter(connection, handler, (channel, id, info, grace, most))
          transport = Transport.of(connection)
          return unless transport.open?(handler)

          joins = transport.cold_state!.joins ||= {}
          member = joins[channel]
          if member.nil? && joins.size >= most
            raise SubscriptionLimitError, "Cannot join more than #{most} channels"
          end

          forget(member) if member && member.id != id && !remains?(member, connection)
          member, is_new = member_of(channel, id)
          member.grace = grace
          member.connections[connection] = true
          joins[member.channel] = member
          describe(member, info, is_new)
          is_new
        end

        # The last info holds.
        def describe(member, info, is_new)
          return if member.info == info

          # The application may change its own later.
          member.info = info.dup
          elsewhere = (@shared.info(member.channel, member.id) if is_new && @shared)
          @shared&.put(member)
          return if elsewhere == info

          put(is_new && elsewhere.nil? ? :join : :update, member)
        end

        def member_of(channel, id)
          members = @members[channel] ||= {}
          member = members[id]
          if member
            @leaving.each_value { |leaving| leaving.delete(member) } if member.connections.empty?
            return [member, false]
          end

          member = Member.new(channel, id)
          [members[member.id] = member, true]
        end

        # True if somebody else is there by this id.
        def remains?(member, connection)
          member.connections.delete(connection)
          member.connections.any?
        end

        def forget(member)
          members = @members[member.channel]
          members.delete(member.id)
          @members.delete(member.channel) if members.empty?
          put(:leave, member) unless @shared&.delete(member)
        end

        def put(kind, member)
          @events << [kind, member.channel, member.id, member.info]
        end

        # Forgets those whose time is over.
        def expire
          time = nil
          @leaving.delete_if do |_, leaving|
            until leaving.empty?
              member, deadline = leaving.first
              break if deadline > (time ||= now)

              leaving.delete(member)
              forget(member)
            end
            leaving.empty?
          end
        end

        # On the reactor's thread: forgets those whose time is over, and comes back for the others.
        def sweep
          @lock.synchronize do
            expire
            deadline = @leaving.each_value.map { |leaving| leaving.first.last }.min
            set_timer(deadline) if deadline
          end
          tell
        end

        # One timer, whoever leaves: EventMachine has a limited number.
        def set_timer(deadline)
          reactor = Reactor.current
          return if @timer && @timer.first.equal?(reactor) && @timer.last <= deadline
          return unless EventMachine.reactor_running?

          timer = @timer = [reactor, deadline]
          EventMachine.add_timer([deadline - now, 0.001].max) do
            @timer = nil if @timer.equal?(timer)
            sweep
          end
        end

        def tell_events
          until @events.empty?
            kind, channel, id, info = take
            block = block_for(kind, channel)
            block&.call(channel, id, info)
          end
        ensure
          # An exception of the application's leaves; the others' events are not lost.
          Reactor.next_tick { tell_events } unless @events.empty?
        end

        def take
          @events.pop(true)
        rescue ThreadError
          nil
        end

        def block_for(kind, channel)
          return unless kind

          @blocks.each do |(of, pattern), block|
            return block if of == kind && Native.channel_matches?(pattern, channel)
          end
          nil
        end

        def now
          Process.clock_gettime(Process::CLOCK_MONOTONIC)
        end
      end

      reset
    end
  end
end
